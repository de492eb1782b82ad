// exp for the kernels on CPU.
#pragma once

#include <cstdint>
#include <cstring>

#include "vec.h"

namespace mindcold {

// exp for x <= 0 by 2^n * p(r), |r| <= ln(2) / 2; relative error below 3e-7, exp(-87) for all that is smaller. The same
// operations, and so the same bits, for one float and for a vector of them.
template <class Float, class Word>
inline Float exp_of(Float x) {
  const Float shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the nearest integer is in the low bits
  const Float n = shifted - 12582912.0f;
  const Float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Float p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  Word bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + 0x3f800000u;
  Float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

inline float exp_nonpositive(float x) { return exp_of<float, uint32_t>(x < -87.0f ? -87.0f : x); }

inline Vec exp_nonpositive(Vec x) {
  const Vec low = splat(-87.0f);
  return exp_of<Vec, Bits>(x < low ? low : x);
}

}  // namespace mindcold
