// swiglu on CPU: x [R, 2 K], adapter int32 [R] -> y [R, K]. The contract is reference.py.
#include <algorithm>
#include <cstdint>

#include "../exp.h"
#include "../parallel.h"
#include "../vec.h"

namespace {

// silu(gate) * up; the sigmoid from the exponential of -|gate|, which can't overflow.
template <class Float>
inline Float gated(Float gate, Float up) {
  const Float e = mindcold::exp_nonpositive(gate > 0 ? -gate : gate);
  return gate * up * (gate > 0 ? Float{} + 1.0f : e) / (1.0f + e);
}

void part(const float* gate, const float* up, int64_t count, float* y) {
  int64_t k = 0;
  for (; k + mindcold::kLanes <= count; k += mindcold::kLanes) {
    mindcold::store(y + k, gated(mindcold::load(gate + k), mindcold::load(up + k)));
  }
  for (; k < count; ++k) y[k] = gated(gate[k], up[k]);
}

}  // namespace

extern "C" int swiglu(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (count != 3) return 1;
  const auto* x = static_cast<const float*>(params[0]);
  const auto* adapter = static_cast<const int32_t*>(params[1]);
  auto* y = static_cast<float*>(params[2]);
  const int64_t rows = shapes[0][0], size = shapes[2][1];
  const auto row = [&](int64_t r) {
    if (adapter[r] >= -1) part(x + r * 2 * size, x + r * 2 * size + size, size, y + r * size);
  };
  if (std::count_if(adapter, adapter + rows, [](int32_t id) { return id >= -1; }) * size < 16384) {
    for (int64_t r = 0; r < rows; ++r) row(r);  // not worth a second thread
  } else {
    mindcold::Pool::get().run(rows, row);
  }
  return 0;
}
