// What a product of lora_linear works on, and what is done with the finished sums of a row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../vec.h"

namespace mindcold::linear {

constexpr int kPanel = 32;
constexpr int kVecs = kPanel / kLanes;

// What one adapter adds to the outputs of the panels from `first_panel` on.
struct LowRank {
  int64_t adapter, rank, first_panel, panels;
  const float *a, *b;  // [rank, K], [panels, rank, 32]
};

struct Task {
  const float *x, *scale, *bias, *residual;
  const int32_t *adapter, *place;  // place: row of y and of adapter, for each row of x
  const LowRank* pairs;
  const int32_t *own, *own_start;  // those of row r are own[own_start[r]] up to own[own_start[r + 1]]
  const float* low;                // x A^T of them, one after the other, [R, ranks]
  float* y;
  int64_t rows, inputs, outputs, panels, ranks;
  bool scaled, biased, added;
};

// y[r, panel] from the finished sums of one row.
inline void finish(const Task& t, int64_t r, int64_t panel, float* sums) {
  const int64_t first = panel * kPanel, width = std::min<int64_t>(kPanel, t.outputs - first);
  Vec y[kVecs];
  for (int i = 0; i < kVecs; ++i) {
    y[i] = load(sums + i * kLanes);
    if (t.scaled) y[i] *= load(t.scale + first + i * kLanes);
  }
  const float* low = t.low + r * t.ranks;
  for (int32_t e = t.own_start[r]; e < t.own_start[r + 1]; ++e) {
    const LowRank& pair = t.pairs[t.own[e]];
    const int64_t mine = panel - pair.first_panel;
    for (int64_t k = 0; mine >= 0 && mine < pair.panels && k < pair.rank; ++k) {
      const float* b = pair.b + (mine * pair.rank + k) * kPanel;
      for (int i = 0; i < kVecs; ++i) y[i] = fma(splat(low[k]), load(b + i * kLanes), y[i]);
    }
    low += pair.rank;
  }
  if (t.biased) {
    for (int i = 0; i < kVecs; ++i) y[i] += load(t.bias + first + i * kLanes);
  }
  float* target = t.y + t.place[r] * t.outputs + first;
  const float* before = t.residual + t.place[r] * t.outputs + first;
  if (width == kPanel) {
    for (int i = 0; i < kVecs; ++i) store(target + i * kLanes, t.added ? y[i] + load(before + i * kLanes) : y[i]);
  } else {
    for (int i = 0; i < kVecs; ++i) store(sums + i * kLanes, y[i]);
    for (int64_t n = 0; n < width; ++n) target[n] = t.added ? sums[n] + before[n] : sums[n];
  }
}

// Panels of one piece of work: about 64 KB of weights, and several where a thread should read several at once.
inline int64_t panels_at_once(const Task& t, int64_t panel_bytes, int64_t least) {
  const int64_t most = std::max<int64_t>(1, t.panels / 4);
  return std::min(std::max(65536 / panel_bytes, least), most);
}

// Too little for a second thread.
inline bool small(const Task& t) { return t.rows * t.inputs * t.outputs < 50000; }

}  // namespace mindcold::linear
