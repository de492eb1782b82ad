// The fused projection split into heads, whose queries and keys are normed, if asked, and rotated. See reference.py.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../vec.h"

namespace mindcold::rope {

inline void rotate(const float* x, const float* cos, const float* sin, const float* norm, float epsilon, int64_t size,
            float* y) {
  const int64_t half = size / 2;
  const float scale =
      norm ? 1.0f / std::sqrt(dot(x, x, size) / static_cast<float>(size) + epsilon) : 1.0f;
  for (int64_t i = 0; i < half; ++i) {
    float first = x[i], second = x[half + i];
    if (norm) first = first * scale * norm[i], second = second * scale * norm[half + i];
    y[i] = first * cos[i] - second * sin[i];
    y[half + i] = second * cos[i] + first * sin[i];
  }
}

struct Shape {
  int64_t heads, kv_heads, size;
};

// qkv [R, (H + 2 KV) D], cos, sin [R, D / 2], norms: epsilon and, if normed, those of q and k [D each]; padding is left out.
inline void apply(const Shape& shape, const float* qkv, const float* cos, const float* sin, const int32_t* adapter, int64_t rows,
                  const float* norms, bool normed, float* q, float* k, float* v) {
  const int64_t size = shape.size, heads = shape.heads, kv_heads = shape.kv_heads;
  const float* q_norm = normed ? norms + 1 : nullptr;
  const float* k_norm = normed ? norms + 1 + size : nullptr;
  for (int64_t r = 0; r < rows; ++r) {
    if (adapter[r] < -1) {
      qkv += (heads + 2 * kv_heads) * size, q += heads * size, k += kv_heads * size, v += kv_heads * size;
      continue;
    }
    const float *c = cos + r * size / 2, *s = sin + r * size / 2;
    for (int64_t h = 0; h < heads; ++h, qkv += size, q += size) rotate(qkv, c, s, q_norm, norms[0], size, q);
    for (int64_t h = 0; h < kv_heads; ++h, qkv += size, k += size) rotate(qkv, c, s, k_norm, norms[0], size, k);
    std::memcpy(v, qkv, sizeof(float) * kv_heads * size);
    qkv += kv_heads * size, v += kv_heads * size;
  }
}

}  // namespace mindcold::rope
