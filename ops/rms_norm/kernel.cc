// rms_norm on CPU: x [R, K], weight [K], adapter int32 [R], epsilon [1] -> y [R, K]. The contract is reference.py.
#include <cmath>
#include <cstdint>

#include "../vec.h"

extern "C" int rms_norm(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (count != 5) return 1;
  const auto* x = static_cast<const float*>(params[0]);
  const auto* weight = static_cast<const float*>(params[1]);
  const auto* adapter = static_cast<const int32_t*>(params[2]);
  const float epsilon = static_cast<const float*>(params[3])[0];
  auto* y = static_cast<float*>(params[4]);
  const int64_t rows = shapes[0][0], size = shapes[0][1];
  for (int64_t r = 0; r < rows && adapter[r] >= -1; ++r, x += size, y += size) {
    const float scale = 1.0f / std::sqrt(mindcold::dot(x, x, size) / static_cast<float>(size) + epsilon);
    for (int64_t k = 0; k < size; ++k) y[k] = x[k] * scale * weight[k];
  }
  return 0;
}
