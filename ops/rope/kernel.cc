// rope on CPU: qkv [R, (H + 2 KV) D], cos, sin [R, D / 2], adapter int32 [R], q_norm, k_norm [D] or [1] for none, epsilon
// [1] -> q [R, H, D], k [R, KV, D], v [R, KV, D]. The contract is reference.py.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "../vec.h"

namespace {

void rotate(const float* x, const float* cos, const float* sin, const float* norm, float epsilon, int64_t size,
            float* y) {
  const int64_t half = size / 2;
  const float scale =
      norm ? 1.0f / std::sqrt(mindcold::dot(x, x, size) / static_cast<float>(size) + epsilon) : 1.0f;
  for (int64_t i = 0; i < half; ++i) {
    float first = x[i], second = x[half + i];
    if (norm) first = first * scale * norm[i], second = second * scale * norm[half + i];
    y[i] = first * cos[i] - second * sin[i];
    y[half + i] = second * cos[i] + first * sin[i];
  }
}

}  // namespace

extern "C" int rope(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (count != 10) return 1;
  const auto* qkv = static_cast<const float*>(params[0]);
  const auto* cos = static_cast<const float*>(params[1]);
  const auto* sin = static_cast<const float*>(params[2]);
  const auto* adapter = static_cast<const int32_t*>(params[3]);
  const auto* q_norm = shapes[4][0] > 1 ? static_cast<const float*>(params[4]) : nullptr;
  const auto* k_norm = shapes[5][0] > 1 ? static_cast<const float*>(params[5]) : nullptr;
  const float epsilon = static_cast<const float*>(params[6])[0];
  auto* q = static_cast<float*>(params[7]);
  auto* k = static_cast<float*>(params[8]);
  auto* v = static_cast<float*>(params[9]);
  const int64_t rows = shapes[0][0], heads = shapes[7][1], kv_heads = shapes[8][1], size = shapes[7][2];
  for (int64_t r = 0; r < rows && adapter[r] >= -1; ++r) {
    const float *c = cos + r * size / 2, *s = sin + r * size / 2;
    for (int64_t h = 0; h < heads; ++h, qkv += size, q += size) rotate(qkv, c, s, q_norm, epsilon, size, q);
    for (int64_t h = 0; h < kv_heads; ++h, qkv += size, k += size) rotate(qkv, c, s, k_norm, epsilon, size, k);
    std::memcpy(v, qkv, sizeof(float) * kv_heads * size);
    qkv += kv_heads * size, v += kv_heads * size;
  }
  return 0;
}
