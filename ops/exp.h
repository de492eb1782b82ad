// exp for the kernels on CPU.
#pragma once

#include <cmath>
#include <cstdint>

namespace mindcold {

// exp for x <= 0 by 2^n * p(r), |r| <= ln(2) / 2; relative error below 3e-7. Branch-free, so that loops vectorise.
inline float exp_nonpositive(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  union {
    int32_t i;
    float f;
  } scale = {(static_cast<int32_t>(n) + 127) << 23};
  return p * scale.f;
}

}  // namespace mindcold
