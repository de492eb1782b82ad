// Arithmetic of attention over a block of slots: scores, softmax, and the values mixed by their weights. The order of
// all sums is that of one query alone.
#pragma once

#include <cstdint>
#include <cstring>

#include "../exp.h"
#include "../vec.h"

namespace mindcold::attention {

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

}  // namespace mindcold::attention
