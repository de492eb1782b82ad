// Products over weights in bfloat16 by AMX tiles: sixteen rows by sixteen pairs by sixteen outputs an instruction. Rows
// of any number take them, since their order of sums is another one than that of pairs.h: a row's bits do not depend on
// the rows beside it here either.
#pragma once

#include "../amx.h"

#if defined(MINDCOLD_TILES)

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../parallel.h"
#include "task.h"

namespace mindcold::linear {

constexpr int64_t kTile = 16;

// Rows 0-15 of a piece are tiles 0 and 1 (its sums of both halves of a panel) and 4, rows 16-31 are 2, 3 and 5; the halves
// of the weights are 6 and 7.
inline amx::Config tile_config(int64_t top, int64_t low) {
  amx::Config config;
  const int64_t rows[8] = {top, top, low, low, top, low, kTile, kTile};
  for (int i = 0; i < 8; ++i) config.rows[i] = static_cast<uint8_t>(rows[i]), config.bytes[i] = rows[i] ? 64 : 0;
  return config;
}

// Up to 32 rows against a panel of `blocks` times sixteen pairs; x is [blocks, rows, 16] pairs.
inline void tile_piece(const Task& t, const uint16_t* weight, int64_t pairs, const uint32_t* x, int64_t first, int64_t panel) {
  alignas(64) float sums[2 * kTile * kPanel];
  alignas(64) uint16_t last[kTile * 2 * kPanel];
  const int64_t top = std::min(kTile, t.rows - first), low = std::min(kTile, t.rows - first - top);
  constexpr int64_t kLine = 4 * kPanel;  // bytes
  const amx::Config config = tile_config(top, low);
  TILE_CONFIGURE(config);  // which sets all to zero
  for (int64_t begin = 0; begin < pairs; begin += kTile) {
    const uint16_t* w = weight + (panel * pairs + begin) * 2 * kPanel;
    if (begin + kTile > pairs) {  // what is beyond the weight may be anything
      std::memset(last, 0, sizeof last);
      std::memcpy(last, w, (pairs - begin) * kLine);
      w = last;
    }
    const uint32_t* a = x + (begin / kTile * t.rows + first) * kTile;
    TILE_LOAD(6, w, kLine);
    TILE_LOAD(7, w + kPanel, kLine);
    TILE_LOAD(4, a, 64);
    TILE_MULTIPLY(0, 4, 6);
    TILE_MULTIPLY(1, 4, 7);
    if (low) {
      TILE_LOAD(5, a + top * kTile, 64);
      TILE_MULTIPLY(2, 5, 6);
      TILE_MULTIPLY(3, 5, 7);
    }
  }
  TILE_STORE(0, sums, kLine);
  TILE_STORE(1, sums + kTile, kLine);
  if (low) {
    TILE_STORE(2, sums + top * kPanel, kLine);
    TILE_STORE(3, sums + top * kPanel + kTile, kLine);
  }
  for (int64_t r = 0; r < top + low; ++r) finish(t, first + r, panel, sums + r * kPanel);
}

// x [rows, pairs], the even input of each pair in the low half.
template <class Words>
void tile_product(const Task& t, const uint16_t* weight, int64_t pairs, Words words) {
  static thread_local std::vector<uint32_t> buffer;
  const int64_t blocks = (pairs + kTile - 1) / kTile;
  buffer.assign(blocks * t.rows * kTile, 0);
  for (int64_t r = 0; r < t.rows; ++r) {
    for (int64_t k = 0; k < pairs; ++k) buffer[(k / kTile * t.rows + r) * kTile + k % kTile] = words(r * pairs + k);
  }
  const uint32_t* x = buffer.data();
  const int64_t chunk = panels_at_once(t, pairs * 4 * kPanel, 1), chunks = (t.panels + chunk - 1) / chunk;
  const auto body = [&](int64_t i) {
    for (int64_t panel = i * chunk; panel < std::min(t.panels, (i + 1) * chunk); ++panel) {
      for (int64_t row = 0; row < t.rows; row += 2 * kTile) tile_piece(t, weight, pairs, x, row, panel);
    }
    TILE_RELEASE();
  };
  if (small(t)) {
    for (int64_t i = 0; i < chunks; ++i) body(i);
  } else {
    Pool::get().run(chunks, body);
  }
}

}  // namespace mindcold::linear

#endif
