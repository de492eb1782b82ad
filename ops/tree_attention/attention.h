// Attention of a step's rows over the slots of a pool, into which their keys and values go first. See reference.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../exp.h"
#include "../parallel.h"
#include "../rows.h"
#include "../vec.h"

namespace mindcold::attention {

struct Step {
  const float *q, *k, *v;
  float *k_cache, *v_cache, *out;
  const int32_t* lines;  // [kLines, rows]
  int64_t rows, heads, kv_heads, size, window;

  const int32_t* line(Row number) const { return lines + number * rows; }
};

// Slots the row sees, in the order of their positions.
inline void visible_slots(const Step& s, int64_t row, std::vector<int32_t>* slots) {
  const int32_t *position = s.line(POSITION), *parent = s.line(PARENT);
  const int32_t *start = s.line(SEGMENT_START), *base = s.line(SEGMENT_FIRST);
  int64_t root = row, first = 0, kept = 0;
  if (s.window > 0 && position[row] >= s.window) first = position[row] - s.window + 1;
  for (int64_t i = row;; i = parent[i]) {
    kept += position[i] >= first;
    root = i;
    if (parent[i] < 0) break;
  }
  int64_t end = position[root];
  slots->resize(std::max<int64_t>(0, end - first) + kept);
  // from the last to the first: the row and its ancestors, then the segments of its sequence
  int64_t place = static_cast<int64_t>(slots->size());
  for (int64_t i = row; kept > 0; i = parent[i], --kept) (*slots)[--place] = s.line(SLOT)[i];
  for (int64_t g = s.line(SEGMENT)[row]; g >= 0 && end > first; g = s.line(SEGMENT_PARENT)[g]) {
    const int64_t begin = std::max<int64_t>(first, base[g]);
    for (; end > begin; --end) (*slots)[--place] = static_cast<int32_t>(start[g] + end - 1 - base[g]);
  }
  slots->erase(slots->begin(), slots->begin() + place);  // nothing, if the segments reach back to the first token
}

inline void softmax(float* w, int64_t n) {
  float best = w[0], sum = 0;
  for (int64_t c = 1; c < n; ++c) best = w[c] > best ? w[c] : best;
  Vec lanes{};
  int64_t c = 0;
  for (; c + kLanes <= n; c += kLanes) {
    const Vec e = exp_nonpositive(load(w + c) - best);
    store(w + c, e);
    lanes += e;
  }
  for (; c < n; ++c) sum += w[c] = exp_nonpositive(w[c] - best);
  const float inverse = 1.0f / (sum + mindcold::sum(lanes));
  for (c = 0; c < n; ++c) w[c] *= inverse;
}

// Vectors of the output that stay in registers while the values go by.
constexpr int kBlock = 4;

// out [kVecs vectors from d on] of one head: weights [n] times the values of the slots, in their order.
template <int kVecs>
void mix_block(const float* values, int64_t stride, const std::vector<int32_t>& slots, const float* weights, float* out) {
  Vec sums[kVecs] = {};
  for (size_t c = 0; c < slots.size(); ++c) {
    const float* value = values + slots[c] * stride;
    const Vec w = splat(weights[c]);
    for (int i = 0; i < kVecs; ++i) sums[i] = fma(w, load(value + i * kLanes), sums[i]);
  }
  for (int i = 0; i < kVecs; ++i) store(out + i * kLanes, sums[i]);
}

// out [groups, D] = weights [groups, n] times the values of the slots.
inline void mix(const Step& s, int64_t kv, const std::vector<int32_t>& slots, const float* weights, int64_t groups,
         float* out) {
  const int64_t n = static_cast<int64_t>(slots.size()), size = s.size, stride = s.kv_heads * size;
  for (int64_t g = 0; g < groups; ++g) {
    const float *values = s.v_cache + kv * size, *w = weights + g * n;
    float* target = out + g * size;
    int64_t d = 0;
    for (; d + kBlock * kLanes <= size; d += kBlock * kLanes) mix_block<kBlock>(values + d, stride, slots, w, target + d);
    for (; d + kLanes <= size; d += kLanes) mix_block<1>(values + d, stride, slots, w, target + d);
    for (; d < size; ++d) {
      float sum = 0;
      for (int64_t c = 0; c < n; ++c) sum += w[c] * values[slots[c] * stride + d];
      target[d] = sum;
    }
  }
}

// weights [groups, n] = scale times q [groups, D] with the keys of the slots.
inline void score(const Step& s, int64_t kv, const std::vector<int32_t>& slots, const float* q, int64_t groups, float scale,
           float* weights) {
  const int64_t n = static_cast<int64_t>(slots.size()), size = s.size, stride = s.kv_heads * size;
  const float* keys = s.k_cache + kv * size;
  for (int64_t g = 0; g < groups; ++g, q += size, weights += n) {
    int64_t c = 0;
    if (size % kLanes == 0) {
      for (; c + kLanes <= n; c += kLanes) {  // as many keys as lanes, whose sums are then one vector
        Vec sums[kLanes];
        for (int i = 0; i < kLanes; ++i) sums[i] = Vec{};
        for (int64_t d = 0; d < size; d += kLanes) {
          const Vec x = load(q + d);
          for (int i = 0; i < kLanes; ++i) sums[i] = fma(x, load(keys + slots[c + i] * stride + d), sums[i]);
        }
        store(weights + c, sum_each(sums) * scale);
      }
    }
    for (; c < n; ++c) weights[c] = dot(q, keys + slots[c] * stride, size) * scale;
  }
}

// All query heads of one key head, for one row.
inline void attend(const Step& s, int64_t row, int64_t kv, const std::vector<int32_t>& slots, std::vector<float>* buffer) {
  const int64_t groups = s.heads / s.kv_heads, n = static_cast<int64_t>(slots.size()), size = s.size;
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  const float* q = s.q + (row * s.heads + kv * groups) * size;
  float* out = s.out + (row * s.heads + kv * groups) * size;
  buffer->resize(groups * n);
  float* weights = buffer->data();
  score(s, kv, slots, q, groups, scale, weights);
  for (int64_t g = 0; g < groups; ++g) softmax(weights + g * n, n);
  mix(s, kv, slots, weights, groups, out);
}

// Moves, new keys and values, then all heads.
inline void apply(const Step& s) {
  const int64_t width = s.kv_heads * s.size;
  const int32_t *source = s.line(SOURCE), *target = s.line(TARGET);
  for (int64_t i = 0; i < s.rows; ++i) {
    if (source[i] < 0) continue;
    std::memcpy(s.k_cache + target[i] * width, s.k_cache + source[i] * width, sizeof(float) * width);
    std::memcpy(s.v_cache + target[i] * width, s.v_cache + source[i] * width, sizeof(float) * width);
  }
  const int32_t *segment = s.line(SEGMENT), *slot = s.line(SLOT);
  int64_t keys = 0;
  for (int64_t r = 0; r < s.rows; ++r) {
    if (segment[r] < 0) continue;
    std::memcpy(s.k_cache + slot[r] * width, s.k + r * width, sizeof(float) * width);
    std::memcpy(s.v_cache + slot[r] * width, s.v + r * width, sizeof(float) * width);
    keys += s.line(POSITION)[r] + 1;
  }
  const auto head = [&](int64_t i) {
    static thread_local std::vector<int32_t> slots;
    static thread_local std::vector<float> buffer;
    const int64_t r = i / s.kv_heads, kv = i % s.kv_heads, groups = s.heads / s.kv_heads;
    if (segment[r] < 0) {
      std::memset(s.out + (r * s.heads + kv * groups) * s.size, 0, sizeof(float) * groups * s.size);
      return;
    }
    visible_slots(s, r, &slots);
    attend(s, r, kv, slots, &buffer);
  };
  if (keys * s.heads * s.size < 131072) {  // not worth a second thread
    for (int64_t i = 0; i < s.rows * s.kv_heads; ++i) head(i);
  } else {
    Pool::get().run(s.rows * s.kv_heads, head);
  }
}

}  // namespace mindcold::attention
