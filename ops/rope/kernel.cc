// rope on CPU: qkv [R, (H + 2 KV) D], cos, sin [R, D / 2], adapter int32 [R], norms [1 + 2 D] (epsilon, of q, of
// k) or [1] -> q [R, H, D], k [R, KV, D], v [R, KV, D]. The contract is reference.py.
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
  if (count != 8) return 1;
  const auto* qkv = static_cast<const float*>(params[0]);
  const auto* cos = static_cast<const float*>(params[1]);
  const auto* sin = static_cast<const float*>(params[2]);
  const auto* adapter = static_cast<const int32_t*>(params[3]);
  const auto* norms = static_cast<const float*>(params[4]);
  auto* q = static_cast<float*>(params[5]);
  auto* k = static_cast<float*>(params[6]);
  auto* v = static_cast<float*>(params[7]);
  const int64_t rows = shapes[0][0], heads = shapes[5][1], kv_heads = shapes[6][1], size = shapes[5][2];
  const float epsilon = norms[0];
  const float* q_norm = shapes[4][0] > 1 ? norms + 1 : nullptr;
  const float* k_norm = shapes[4][0] > 1 ? norms + 1 + size : nullptr;
  for (int64_t r = 0; r < rows; ++r) {
    if (adapter[r] < -1) {
      qkv += (heads + 2 * kv_heads) * size, q += heads * size, k += kv_heads * size, v += kv_heads * size;
      continue;
    }
    const float *c = cos + r * size / 2, *s = sin + r * size / 2;
    for (int64_t h = 0; h < heads; ++h, qkv += size, q += size) rotate(qkv, c, s, q_norm, epsilon, size, q);
    for (int64_t h = 0; h < kv_heads; ++h, qkv += size, k += size) rotate(qkv, c, s, k_norm, epsilon, size, k);
    std::memcpy(v, qkv, sizeof(float) * kv_heads * size);
    qkv += kv_heads * size, v += kv_heads * size;
  }
  return 0;
}
