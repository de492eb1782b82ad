// Attention of a step's rows over the slots of a pool, into which their keys and values go first. See reference.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../parallel.h"
#include "../rows.h"
#include "block.h"

namespace mindcold::attention {

template <class Cache>
struct Step {
  const float *q, *k, *v;
  Cache *k_cache, *v_cache;
  float* out;
  const int32_t* lines;  // [kLines, rows]
  int64_t rows, heads, kv_heads, size, window;

  const int32_t* line(Row number) const { return lines + number * rows; }
};

// Slots the row sees, in the order of their positions.
template <class Cache>
void visible_slots(const Step<Cache>& s, int64_t row, std::vector<int32_t>* slots) {
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

// Space of a thread.
struct Space {
  std::vector<std::vector<int32_t>> slots;  // of each row of a tile
  std::vector<float> weights, unpacked;
};

// Rows that have their first `shared` slots in common (a multiple of the block), all query heads of one key head: those
// slots are read once for all of them, the rest row by row. The order of all sums is that of the row alone.
template <class Cache>
void attend(const Step<Cache>& s, const int64_t* rows, int64_t count, int64_t kv, int64_t shared, Space* space,
            const std::vector<int32_t>* slots) {
  const int64_t groups = s.heads / s.kv_heads, size = s.size, stride = s.kv_heads * size;
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) total += groups * static_cast<int64_t>(slots[i].size());
  space->weights.resize(total);
  space->unpacked.resize(kBlock * size);
  const Cache *keys = s.k_cache + kv * size, *values = s.v_cache + kv * size;
  float *weights = space->weights.data(), *unpacked = space->unpacked.data();
  std::vector<Query> queries;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = (rows[i] * s.heads + kv * groups) * size;
    for (int64_t g = 0; g < groups; ++g, weights += slots[i].size()) {
      queries.push_back({s.q + first + g * size, weights, s.out + first + g * size});
    }
  }
  // calls body(the queries that see a block, how many, the block, its first slot, its slots)
  const auto blocks = [&](const Cache* data, const auto& body) {
    const auto part = [&](const std::vector<int32_t>& seen, int64_t begin, int64_t end, const Query* first, int64_t n) {
      for (; begin < end; begin += kBlock) {
        const int64_t width = std::min(kBlock, end - begin);
        const auto block = block_of(data, stride, seen.data() + begin, width, size, unpacked);
        body(first, n, block, begin, width);
      }
    };
    part(slots[0], 0, shared, queries.data(), count * groups);
    for (int64_t i = 0; i < count; ++i) {
      part(slots[i], shared, static_cast<int64_t>(slots[i].size()), &queries[i * groups], groups);
    }
  };
  blocks(keys, [&](const Query* some, int64_t n, const auto& block, int64_t begin, int64_t width) {
    score(some, n, block, begin, width, size, scale);
  });
  for (int64_t i = 0; i < count * groups; ++i) {
    softmax(queries[i].weights, static_cast<int64_t>(slots[i / groups].size()));
    std::memset(queries[i].out, 0, sizeof(float) * size);
  }
  blocks(values, [&](const Query* some, int64_t n, const auto& block, int64_t begin, int64_t width) {
    mix(some, n, block, begin, width, size);
  });
}

// Slots at the start of both, in whole blocks.
inline int64_t common_blocks(const std::vector<int32_t>& a, const std::vector<int32_t>& b, int64_t at_most) {
  const int64_t n = std::min({at_most, static_cast<int64_t>(a.size()), static_cast<int64_t>(b.size())});
  return (std::mismatch(a.begin(), a.begin() + n, b.begin()).first - a.begin()) / kBlock * kBlock;
}

// Some rows beside one key head: in runs of those that have most of their slots in common.
template <class Cache>
void attend_tile(const Step<Cache>& s, const int64_t* rows, int64_t count, int64_t kv) {
  static thread_local Space space;
  auto& slots = space.slots;
  slots.resize(std::max<size_t>(slots.size(), count));
  for (int64_t i = 0; i < count; ++i) visible_slots(s, rows[i], &slots[i]);
  for (int64_t i = 0, next; i < count; i = next) {
    int64_t shared = static_cast<int64_t>(slots[i].size()) / kBlock * kBlock;
    for (next = i + 1; next < count; ++next) {
      const int64_t common = common_blocks(slots[i], slots[next], shared);
      if (common * 2 < static_cast<int64_t>(slots[next].size())) break;
      shared = common;
    }
    if (next == i + 1) shared = 0;
    attend(s, rows + i, next - i, kv, shared, &space, &slots[i]);
  }
}

// Moves, new keys and values, then all heads.
template <class Cache>
void apply(const Step<Cache>& s) {
  const int64_t width = s.kv_heads * s.size, groups = s.heads / s.kv_heads;
  const int32_t *source = s.line(SOURCE), *target = s.line(TARGET);
  for (int64_t i = 0; i < s.rows; ++i) {
    if (source[i] < 0) continue;
    std::memcpy(s.k_cache + target[i] * width, s.k_cache + source[i] * width, sizeof(Cache) * width);
    std::memcpy(s.v_cache + target[i] * width, s.v_cache + source[i] * width, sizeof(Cache) * width);
  }
  const int32_t *segment = s.line(SEGMENT), *slot = s.line(SLOT), *position = s.line(POSITION);
  int64_t keys = 0, longest = 1;
  std::vector<int64_t> real;
  for (int64_t r = 0; r < s.rows; ++r) {
    if (segment[r] < 0) {
      std::memset(s.out + r * s.heads * s.size, 0, sizeof(float) * s.heads * s.size);
      continue;
    }
    keep(s.k + r * width, width, s.k_cache + slot[r] * width);
    keep(s.v + r * width, width, s.v_cache + slot[r] * width);
    keys += position[r] + 1, longest = std::max<int64_t>(longest, position[r] + 1);
    real.push_back(r);
  }
  // tiles small enough for every thread to get some, and for their weights (about a megabyte) to stay near
  auto& pool = Pool::get();
  const int64_t count = static_cast<int64_t>(real.size()), fair = count * s.kv_heads / (2 * pool.threads());
  const int64_t rows = std::clamp<int64_t>(std::min(fair, (1 << 18) / (groups * longest)), 1, 8);
  const int64_t tiles = (count + rows - 1) / rows;
  const auto tile = [&](int64_t i) {
    const int64_t first = i / s.kv_heads * rows;
    attend_tile(s, real.data() + first, std::min(rows, count - first), i % s.kv_heads);
  };
  if (keys * s.heads * s.size < 131072) {  // not worth a second thread
    for (int64_t i = 0; i < tiles * s.kv_heads; ++i) tile(i);
  } else {
    pool.run(tiles * s.kv_heads, tile);
  }
}

}  // namespace mindcold::attention
