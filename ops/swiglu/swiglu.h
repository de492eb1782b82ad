// silu(gate) * up of the rows that are not padding. See reference.py.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../exp.h"
#include "../parallel.h"
#include "../vec.h"

namespace mindcold::swiglu {

// silu(gate) * up; the sigmoid from the exponential of -|gate|, which can't overflow.
template <class Float>
inline Float gated(Float gate, Float up) {
  const Float e = exp_nonpositive(gate > 0 ? -gate : gate);
  return gate * up * (gate > 0 ? Float{} + 1.0f : e) / (1.0f + e);
}

inline void part(const float* gate, const float* up, int64_t count, float* y) {
  int64_t k = 0;
  for (; k + kLanes <= count; k += kLanes) {
    store(y + k, gated(load(gate + k), load(up + k)));
  }
  for (; k < count; ++k) y[k] = gated(gate[k], up[k]);
}

// x [R, 2 K], adapter int32 [R] -> y [R, K].
inline void apply(const float* x, const int32_t* adapter, int64_t rows, int64_t size, float* y) {
  const auto row = [&](int64_t r) {
    if (adapter[r] >= -1) part(x + r * 2 * size, x + r * 2 * size + size, size, y + r * size);
  };
  if (std::count_if(adapter, adapter + rows, [](int32_t id) { return id >= -1; }) * size < 16384) {
    for (int64_t r = 0; r < rows; ++r) row(r);  // not worth a second thread
  } else {
    Pool::get().run(rows, row);
  }
}

}  // namespace mindcold::swiglu
