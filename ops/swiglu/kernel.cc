// swiglu on CPU: x [R, 2 K], adapter int32 [R] -> y [R, K]. The contract is reference.py.
#include <cstdint>

#include "../exp.h"
#include "../parallel.h"

extern "C" int swiglu(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (count != 3) return 1;
  const auto* x = static_cast<const float*>(params[0]);
  const auto* adapter = static_cast<const int32_t*>(params[1]);
  auto* y = static_cast<float*>(params[2]);
  const int64_t rows = shapes[0][0], size = shapes[2][1];
  const auto row = [&](int64_t r) {
    const float *gate = x + r * 2 * size, *up = gate + size;
    float* out = y + r * size;
    for (int64_t k = 0; k < size; ++k) {
      // sigmoid from the exponential of -|gate|, which can't overflow
      const float e = mindcold::exp_nonpositive(gate[k] > 0 ? -gate[k] : gate[k]);
      const float numerator = gate[k] > 0 ? 1.0f : e;
      out[k] = gate[k] * up[k] * numerator / (1.0f + e);
    }
  };
  int64_t real = 0;
  while (real < rows && adapter[real] >= -1) ++real;
  if (real * size < 16384) {  // not worth a second thread
    for (int64_t r = 0; r < real; ++r) row(r);
  } else {
    mindcold::Pool::get().run(real, row);
  }
  return 0;
}
