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

// Keys or values of some slots as float32, [count, size]: as they lie, or unpacked once for all queries.
constexpr int64_t kBlock = 64;

struct Strided {
  const float* data;
  int64_t stride;
  const int32_t* slots;

  const float* operator()(int64_t i) const { return data + slots[i] * stride; }
};

struct Unpacked {
  const float* data;
  int64_t size;

  const float* operator()(int64_t i) const { return data + i * size; }
};

inline Strided block_of(const float* data, int64_t stride, const int32_t* slots, int64_t, int64_t, float*) {
  return {data, stride, slots};
}

inline Unpacked block_of(const uint16_t* data, int64_t stride, const int32_t* slots, int64_t count, int64_t size, float* space) {
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t* from = data + slots[i] * stride;
    float* to = space + i * size;
    int64_t d = 0;
    for (; d + kLanes <= size; d += kLanes) store(to + d, load_bf16(from + d));
    for (; d < size; ++d) to[d] = from_bf16(from[d]);
  }
  return {space, size};
}

inline void keep(const float* from, int64_t count, float* to) { std::memcpy(to, from, sizeof(float) * count); }

inline void keep(const float* from, int64_t count, uint16_t* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = round_bf16(from[i]);
}

// A query head of a row: where its query, weights and output are.
struct Query {
  const float* q;
  float *weights, *out;
};

// Queries that go together, so that what is read of a block serves all of them.
constexpr int kTogether = 4;

// Scores of kQueries queries with as many keys at a time as fill one vector of sums; gives the first key that is left.
template <int kQueries, class Block>
int64_t score_vecs(const Query* queries, const Block& keys, int64_t begin, int64_t count, int64_t size, float scale) {
  constexpr int kKeys = kLanes / kQueries;
  int64_t c = 0;
  for (; c + kLanes <= count; c += kLanes) {
    for (int part = 0; part < kLanes; part += kKeys) {
      Vec sums[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) sums[i] = Vec{};
      for (int64_t d = 0; d < size; d += kLanes) {
        Vec x[kQueries];
#pragma GCC unroll 4
        for (int j = 0; j < kQueries; ++j) x[j] = load(queries[j].q + d);
#pragma GCC unroll 16
        for (int i = 0; i < kKeys; ++i) {
          const Vec key = load(keys(c + part + i) + d);
#pragma GCC unroll 4
          for (int j = 0; j < kQueries; ++j) sums[j * kKeys + i] = fma(x[j], key, sums[j * kKeys + i]);
        }
      }
      float out[kLanes];
      store(out, sum_each(sums) * scale);
      for (int j = 0; j < kQueries; ++j) {
        std::memcpy(queries[j].weights + begin + c + part, out + j * kKeys, sizeof(float) * kKeys);
      }
    }
  }
  return c;
}

// weights [count, from begin on] = scale times each query with the keys of a block. The last of a row, fewer than there
// are lanes, go one by one: blocks but the last of a row are multiples of the lanes.
template <class Block>
void score(const Query* queries, int64_t n, const Block& keys, int64_t begin, int64_t count, int64_t size, float scale) {
  constexpr int kQueries = kLanes >= kTogether ? kTogether : 1;
  for (int64_t j = 0; j < n;) {
    const int64_t step = n - j >= kQueries ? kQueries : 1;
    int64_t c = 0;
    if (size % kLanes == 0) {
      c = step > 1 ? score_vecs<kQueries>(queries + j, keys, begin, count, size, scale)
                   : score_vecs<1>(queries + j, keys, begin, count, size, scale);
    }
    for (int64_t end = j + step; j < end; ++j) {
      for (int64_t k = c; k < count; ++k) queries[j].weights[begin + k] = dot(queries[j].q, keys(k), size) * scale;
    }
  }
}

// out [kVecs vectors from d on] of each query += its weights times the values of a block, in their order.
template <int kQueries, int kVecs, class Block>
void mix_vecs(const Query* queries, const Block& values, int64_t begin, int64_t count, int64_t d) {
  Vec sums[kQueries * kVecs];
#pragma GCC unroll 16
  for (int n = 0; n < kQueries * kVecs; ++n) sums[n] = load(queries[n / kVecs].out + d + n % kVecs * kLanes);
  const float* weights[kQueries];
  for (int j = 0; j < kQueries; ++j) weights[j] = queries[j].weights + begin;
  for (int64_t c = 0; c < count; ++c) {
    const float* value = values(c) + d;
    Vec lines[kVecs];
#pragma GCC unroll 4
    for (int i = 0; i < kVecs; ++i) lines[i] = load(value + i * kLanes);
#pragma GCC unroll 4
    for (int j = 0; j < kQueries; ++j) {
      const Vec w = splat(weights[j][c]);
#pragma GCC unroll 4
      for (int i = 0; i < kVecs; ++i) sums[j * kVecs + i] = fma(w, lines[i], sums[j * kVecs + i]);
    }
  }
#pragma GCC unroll 16
  for (int n = 0; n < kQueries * kVecs; ++n) store(queries[n / kVecs].out + d + n % kVecs * kLanes, sums[n]);
}

template <int kQueries, class Block>
void mix_together(const Query* queries, const Block& values, int64_t begin, int64_t count, int64_t size) {
  constexpr int kVecs = kLanes == 16 ? 4 : 2;  // what fits the registers
  int64_t d = 0;
  for (; d + kVecs * kLanes <= size; d += kVecs * kLanes) mix_vecs<kQueries, kVecs>(queries, values, begin, count, d);
  for (; d + kLanes <= size; d += kLanes) mix_vecs<kQueries, 1>(queries, values, begin, count, d);
  for (; d < size; ++d) {
    for (int j = 0; j < kQueries; ++j) {
      for (int64_t c = 0; c < count; ++c) queries[j].out[d] += queries[j].weights[begin + c] * values(c)[d];
    }
  }
}

template <class Block>
void mix(const Query* queries, int64_t n, const Block& values, int64_t begin, int64_t count, int64_t size) {
  int64_t j = 0;
  for (; j + kTogether <= n; j += kTogether) mix_together<kTogether>(queries + j, values, begin, count, size);
  for (; j < n; ++j) mix_together<1>(queries + j, values, begin, count, size);
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
