// Products over weights in float32 or int8, panels [P, K, 32]: every sum is one chain of fused multiply-adds over k, in
// order, so that a row's bits do not depend on the rows beside it. Many rows over bfloat16 without an instruction for its
// pairs are summed here, too: panels [P, K / 2, 32, 2], the odd input of each pair before the even one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../parallel.h"
#include "../vec.h"
#include "task.h"

namespace mindcold::linear {

constexpr int kStripes = kVecs / 2;  // stripe s of a panel: vectors s and s + kStripes
constexpr int kTileRows = kLanes == 8 ? 6 : 8;
constexpr int kDirectRows = 2;       // up to so many rows read a panel once, in one pass
template <class Weight>
constexpr int kPackedRows = 24;      // up to so many rows unpack the weight in registers, in every tile
template <>
constexpr int kPackedRows<uint16_t> = 0;
constexpr int64_t kBlock = 192;      // inputs of a panel that stay in the nearest cache for all tiles

// Stripe s of one line of a panel (the 32 weights of one input).
inline void stripe(const int8_t* p, int s, Vec* w) {
  w[0] = load_bytes(p + kLanes * s);
  w[1] = load_bytes(p + kLanes * (s + kStripes));
}
inline void stripe(const float* p, int s, Vec* w) { w[0] = load(p + kLanes * s), w[1] = load(p + kLanes * (s + kStripes)); }

// A block of one stripe that has been unpacked: its lines are two vectors long.
struct Unpacked {
  const float* data;
};
inline Unpacked operator+(Unpacked p, int64_t offset) { return {p.data + offset / kPanel * 2 * kLanes}; }
inline void stripe(Unpacked p, int, Vec* w) { w[0] = load(p.data), w[1] = load(p.data + kLanes); }

// A block, unpacked stripe by stripe.
template <class Weight>
void unpack(const Weight* p, int64_t inputs, float* lines) {
  for (int64_t k = 0; k < inputs; ++k, p += kPanel, lines += 2 * kLanes) {
    for (int s = 0; s < kStripes; ++s) {
      Vec w[2];
      stripe(p, s, w);
      for (int i = 0; i < 2; ++i) store(lines + (s * inputs * 2 + i) * kLanes, w[i]);
    }
  }
}

inline void unpack(const uint16_t* p, int64_t inputs, float* lines) {
  for (int64_t k = 0; k < inputs; k += 2, p += 2 * kPanel, lines += 4 * kLanes) {
    for (int s = 0; s < kStripes; ++s) {
      for (int i = 0; i < 2; ++i) {
        const Bits w = load_words(p + 2 * kLanes * (s + i * kStripes));
        store(lines + (s * inputs * 2 + i) * kLanes, reinterpret_cast<Vec>(w & 0xffff0000u));
        store(lines + (s * inputs * 2 + 2 + i) * kLanes, reinterpret_cast<Vec>(w << 16));
      }
    }
  }
}

// A few rows against some panels side by side: the weight goes from memory to the sums, nothing is kept.
template <class Weight, int kRows, int kWide>
void direct(const Task& t, const Weight* weight, int64_t panel) {
  Vec sums[kRows][kWide][kVecs] = {};
  const int64_t stride = t.inputs * kPanel;
  const Weight* p = weight + panel * stride;
  for (int64_t k = 0; k < t.inputs; ++k, p += kPanel) {
    Vec x[kRows];
    for (int r = 0; r < kRows; ++r) x[r] = splat(t.x[r * t.inputs + k]);
    for (int j = 0; j < kWide; ++j) {
      for (int s = 0; s < kStripes; ++s) {
        Vec w[2];
        stripe(p + j * stride, s, w);
        for (int r = 0; r < kRows; ++r) {
          sums[r][j][s] = fma(x[r], w[0], sums[r][j][s]);
          sums[r][j][s + kStripes] = fma(x[r], w[1], sums[r][j][s + kStripes]);
        }
      }
    }
  }
  float out[kPanel];
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kWide; ++j) {
      for (int i = 0; i < kVecs; ++i) store(out + i * kLanes, sums[r][j][i]);
      finish(t, r, panel + j, out);
    }
  }
}

template <class Weight, int kRows>
void direct_panels(const Task& t, const Weight* weight, int64_t panel, int64_t end) {
  // two streams of memory a thread, even where not all sums stay in registers, and sums enough to hide the latency of fma
  constexpr int kWide = std::max(2, 8 / (kRows * kVecs));
  for (; panel + kWide <= end; panel += kWide) direct<Weight, kRows, kWide>(t, weight, panel);
  for (; panel < end; ++panel) direct<Weight, kRows, 1>(t, weight, panel);
}

// What comes next in memory, fetched little by little while the current block is computed with.
struct Ahead {
  const char* next;
  int64_t step;  // bytes per input
};

// Adds some inputs of one stripe to the sums of some rows.
template <class Lines, int kRows>
void tile(const float* x, int64_t stride, Lines p, int s, int64_t inputs, Ahead ahead, float* sums) {
  Vec acc[kRows][2];
  for (int r = 0; r < kRows; ++r) {
    acc[r][0] = load(sums + r * kPanel), acc[r][1] = load(sums + r * kPanel + kLanes * kStripes);
  }
  for (int64_t k = 0; k < inputs; ++k, p = p + kPanel, ahead.next += ahead.step) {
    Vec w[2];
    stripe(p, s, w);
    keep(w), keep(w + 1);
    __builtin_prefetch(ahead.next);
    for (int r = 0; r < kRows; ++r) {
      const Vec value = splat(x[r * stride + k]);
      acc[r][0] = fma(value, w[0], acc[r][0]), acc[r][1] = fma(value, w[1], acc[r][1]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    store(sums + r * kPanel, acc[r][0]), store(sums + r * kPanel + kLanes * kStripes, acc[r][1]);
  }
}

template <class Lines>
void any_tile(int64_t rows, const float* x, int64_t stride, Lines p, int s, int64_t inputs, Ahead ahead, float* sums) {
  switch (rows) {
    case 1: return tile<Lines, 1>(x, stride, p, s, inputs, ahead, sums);
    case 2: return tile<Lines, 2>(x, stride, p, s, inputs, ahead, sums);
    case 3: return tile<Lines, 3>(x, stride, p, s, inputs, ahead, sums);
    case 4: return tile<Lines, 4>(x, stride, p, s, inputs, ahead, sums);
    case 5: return tile<Lines, 5>(x, stride, p, s, inputs, ahead, sums);
    case 6: return tile<Lines, 6>(x, stride, p, s, inputs, ahead, sums);
    case 7: return tile<Lines, 7>(x, stride, p, s, inputs, ahead, sums);
    default: return tile<Lines, 8>(x, stride, p, s, inputs, ahead, sums);
  }
}

// Several rows: block by block of a panel, every tile of rows takes the block from the cache. For many rows it is
// unpacked there first.
template <class Weight>
void blocked(const Task& t, const Weight* weight, int64_t panel) {
  alignas(64) static thread_local float unpacked[kBlock * kPanel];
  static thread_local std::vector<float> buffer;
  buffer.assign(t.rows * kPanel, 0.0f);
  float* sums = buffer.data();
  const int64_t tiles = (t.rows + kTileRows - 1) / kTileRows;
  const bool packed = t.rows <= kPackedRows<Weight>;
  const int64_t blocks = (t.inputs + kBlock - 1) / kBlock, size = ((t.inputs + blocks - 1) / blocks + 1) / 2 * 2;
  for (int64_t first = 0; first < t.inputs; first += size) {
    const int64_t inputs = std::min(size, t.inputs - first);
    const Weight* p = weight + (panel * t.inputs + first) * kPanel;
    const int64_t share = kPanel * static_cast<int64_t>(sizeof(Weight)) / (kStripes * tiles);
    Ahead ahead{reinterpret_cast<const char*>(p + inputs * kPanel), std::max<int64_t>(share, 1)};
    if (!packed) unpack(p, inputs, unpacked);
    for (int s = 0; s < kStripes; ++s) {
      for (int64_t i = 0; i < tiles; ++i) {  // tiles of nearly the same height
        const int64_t row = i * t.rows / tiles, rows = (i + 1) * t.rows / tiles - row;
        const float* x = t.x + row * t.inputs + first;
        float* y = sums + row * kPanel + s * kLanes;
        if constexpr (kPackedRows<Weight> > 0) {
          if (packed) any_tile(rows, x, t.inputs, p, s, inputs, ahead, y);
        }
        if (!packed) any_tile(rows, x, t.inputs, Unpacked{unpacked + s * 2 * kLanes * inputs}, s, inputs, ahead, y);
        ahead.next += inputs * ahead.step;
      }
    }
  }
  for (int64_t r = 0; r < t.rows; ++r) finish(t, r, panel, sums + r * kPanel);
}

template <class Weight>
void panels(const Task& t, const Weight* weight, int64_t panel, int64_t end) {
  if constexpr (kPackedRows<Weight> > 0) {
    if (t.rows == 1) return direct_panels<Weight, 1>(t, weight, panel, end);
    if (t.rows == 2) return direct_panels<Weight, 2>(t, weight, panel, end);
  }
  for (; panel < end; ++panel) blocked(t, weight, panel);
}
static_assert(kDirectRows == 2, "panels() has a line for each");

template <class Weight>
void product(const Task& t, const Weight* weight) {
  const int64_t bytes = t.inputs * kPanel * static_cast<int64_t>(sizeof(Weight));
  const int64_t chunk = panels_at_once(t, bytes, t.rows <= kDirectRows ? 2 : 1);
  const int64_t chunks = (t.panels + chunk - 1) / chunk;
  const auto body = [&](int64_t i) { panels(t, weight, i * chunk, std::min(t.panels, (i + 1) * chunk)); };
  if (small(t)) {
    for (int64_t i = 0; i < chunks; ++i) body(i);
  } else {
    Pool::get().run(chunks, body);
  }
}

}  // namespace mindcold::linear
