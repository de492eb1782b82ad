// Products over weights in bfloat16, pairs of inputs side by side: panels [P, ceil(K / 2), 32, 2]. The inputs are rounded
// to bfloat16, products are exact, sums are float32: the odd input of a pair is added first, then the even one, pair by
// pair, so that a row's bits do not depend on the rows beside it. AVX-512 BF16 does that in one instruction, which takes
// denormals for zero; elsewhere it is two multiply-adds. With AMX the products are those of tiles.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../parallel.h"
#include "../vec.h"
#include "panels.h"
#include "task.h"
#include "tiles.h"

namespace mindcold::linear {

#if defined(__AVX512BF16__) && !defined(MINDCOLD_NO_BF16_DOT)
struct Pair {
  uint32_t words;  // the even input in the low half
};

inline uint32_t words_of(const Pair& x) { return x.words; }

inline Pair pair_of(float even, float odd) {
  return {static_cast<uint32_t>(round_bf16(even)) | static_cast<uint32_t>(round_bf16(odd)) << 16};
}

// sum + odd inputs of the pair with those of the weights, then even ones.
inline Vec add_pair(Vec sum, Bits weights, const Pair& x) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(weights), reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(x.words))));
}
constexpr int kPairRows = 6;
constexpr bool kUnpackPairs = false;
#else
struct Pair {
  float odd, even;  // in the order of sums
};

inline uint32_t words_of(const Pair& x) {  // which are bfloat16 already
  return static_cast<uint32_t>(round_bf16(x.even)) | static_cast<uint32_t>(round_bf16(x.odd)) << 16;
}

inline Pair pair_of(float even, float odd) { return {from_bf16(round_bf16(odd)), from_bf16(round_bf16(even))}; }

inline Vec add_pair(Vec sum, Bits weights, const Pair& x) {
  sum = fma(splat(x.odd), reinterpret_cast<Vec>(weights & 0xffff0000u), sum);
  return fma(splat(x.even), reinterpret_cast<Vec>(weights << 16), sum);
}
constexpr int kPairRows = kLanes == 16 ? 6 : kLanes == 8 ? 2 : 1;  // three rows of a panel do not fit in 16 registers
constexpr bool kUnpackPairs = kLanes < 16;  // a tile of six rows with its weights needs all of 16 registers
#endif

constexpr int kPairWide = kLanes >= 8 ? 2 : 1;        // panels side by side
constexpr int kDirectWide = 2;                        // so few rows wait for memory: two streams a thread, and nothing fetched ahead
constexpr int64_t kPackedPairRows = 8;                // more rows are worth a pass that unpacks a block, if that is done
constexpr int64_t kPairBlock = kLanes == 8 ? 32 : 64; // pairs of a panel that stay in the nearest cache for all tiles

// A row of inputs in pairs; the last of an odd number has a zero beside it.
inline void pair_up(const float* x, int64_t inputs, Pair* out) {
  for (int64_t k = 0; k + 1 < inputs; k += 2) *out++ = pair_of(x[k], x[k + 1]);
  if (inputs % 2) *out = pair_of(x[inputs - 1], 0.0f);
}

// Where a tile finds its weights, and what comes next in memory, fetched little by little meanwhile.
struct PairBlock {
  const uint16_t* weight;
  int64_t stride;  // from panel to panel
  int64_t pairs;
  bool first;
  const char* next;
  int64_t step;  // bytes per pair
};

template <int kRows, int kWide, bool kAhead>
void pair_tile(const Pair* x, int64_t stride, PairBlock block, float* sums) {
  Vec acc[kRows * kWide * kVecs];  // kept in registers, so every loop over it is unrolled
#pragma GCC unroll 32
  for (int n = 0; n < kRows * kWide * kVecs; ++n) acc[n] = block.first ? Vec{} : load(sums + n * kLanes);
  const uint16_t* p = block.weight;
  for (int64_t k = 0; k < block.pairs; ++k, p += 2 * kPanel, block.next += block.step) {
#pragma GCC unroll 2
    for (int j = 0; j < kWide; ++j) {
      if (kAhead) __builtin_prefetch(block.next + j * block.stride * 2);
#pragma GCC unroll 8
      for (int i = 0; i < kVecs; ++i) {
        const Bits w = load_words(p + j * block.stride + i * 2 * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          Vec& sum = acc[(r * kWide + j) * kVecs + i];
          sum = add_pair(sum, w, x[r * stride + k]);
        }
      }
    }
  }
#pragma GCC unroll 32
  for (int n = 0; n < kRows * kWide * kVecs; ++n) store(sums + n * kLanes, acc[n]);
}

template <int kWide, bool kAhead, int kRows>
void any_pair_tile(int64_t rows, const Pair* x, int64_t stride, const PairBlock& block, float* sums) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return any_pair_tile<kWide, kAhead, kRows - 1>(rows, x, stride, block, sums);
  }
  pair_tile<kRows, kWide, kAhead>(x, stride, block, sums);
}

// All rows against some panels side by side, block by block where there are several tiles of at most kRows.
template <int kWide, bool kAhead, int kRows>
void pair_panels(const Task& t, const uint16_t* weight, const Pair* x, int64_t panel) {
  static thread_local std::vector<float> buffer;
  const int64_t pairs = (t.inputs + 1) / 2, stride = pairs * 2 * kPanel, tiles = (t.rows + kRows - 1) / kRows;
  const int64_t size = tiles > 1 ? kPairBlock : pairs;
  buffer.resize(t.rows * kWide * kPanel);
  for (int64_t begin = 0; begin < pairs; begin += size) {
    PairBlock block{weight + panel * stride + begin * 2 * kPanel, stride, std::min(size, pairs - begin), begin == 0};
    block.next = reinterpret_cast<const char*>(block.weight + block.pairs * 2 * kPanel);
    block.step = 4 * kPanel / tiles;
    for (int64_t i = 0; i < tiles; ++i) {  // tiles of nearly the same height
      const int64_t row = i * t.rows / tiles, rows = (i + 1) * t.rows / tiles - row;
      any_pair_tile<kWide, kAhead, kRows>(rows, x + row * pairs + begin, pairs, block, buffer.data() + row * kWide * kPanel);
      block.next += block.pairs * block.step;
    }
  }
  for (int64_t r = 0; r < t.rows; ++r) {
    for (int j = 0; j < kWide; ++j) finish(t, r, panel + j, buffer.data() + (r * kWide + j) * kPanel);
  }
}

template <int kWide, bool kAhead, int kRows>
void pair_chunks(const Task& t, const uint16_t* weight, const Pair* x) {
  const int64_t chunk = panels_at_once(t, (t.inputs + 1) / 2 * 4 * kPanel, kWide);
  const auto body = [&](int64_t i) {
    int64_t panel = i * chunk;
    const int64_t end = std::min(t.panels, panel + chunk);
    for (; panel + kWide <= end; panel += kWide) pair_panels<kWide, kAhead, kRows>(t, weight, x, panel);
    for (; panel < end; ++panel) pair_panels<1, kAhead, kRows>(t, weight, x, panel);
  };
  const int64_t chunks = (t.panels + chunk - 1) / chunk;
  if (small(t)) {
    for (int64_t i = 0; i < chunks; ++i) body(i);
  } else {
    Pool::get().run(chunks, body);
  }
}

inline void pair_product(const Task& t, const uint16_t* weight, const Pair* x) {
#if defined(MINDCOLD_TILES)
  if (amx::granted()) return tile_product(t, weight, (t.inputs + 1) / 2, [x](int64_t i) { return words_of(x[i]); });
#endif
  if (t.rows <= kDirectRows) return pair_chunks<kDirectWide, false, kDirectRows>(t, weight, x);
  if (kUnpackPairs && t.rows > kPackedPairRows) {  // the pairs are inputs in float32, in the order of sums
    Task inputs = t;
    inputs.x = reinterpret_cast<const float*>(x), inputs.inputs = (t.inputs + 1) / 2 * 2;
    return product(inputs, weight);
  }
  pair_chunks<kPairWide, true, kPairRows>(t, weight, x);
}

}  // namespace mindcold::linear
