// The tiles of Intel AMX, as far as products of bfloat16 need them: eight registers of up to 16 rows of 64 bytes. With
// MINDCOLD_EMULATE_AMX they are executed as the manual of TDPBF16PS has it, on any CPU: within one instruction the even
// and the odd products of a pair are summed in chains of their own, which are added, and then added to the sum;
// denormals are zero. What the manual forbids ends the process there.
#pragma once

#if defined(MINDCOLD_EMULATE_AMX) || (defined(MINDCOLD_AMX) && defined(__AMX_BF16__))
#define MINDCOLD_TILES

#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(MINDCOLD_EMULATE_AMX)
#include <cmath>
#else
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace mindcold::amx {

// Rows and bytes of a row of each register; 64 bytes, as LDTILECFG reads them.
struct alignas(64) Config {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(Config) == 64, "the processor reads 64 bytes");

#if defined(MINDCOLD_EMULATE_AMX)

struct Tile {
  int rows, bytes;
  alignas(64) char data[16][64];
};
inline thread_local Tile tiles[8];

inline void demand(bool holds) {
  if (!holds) std::abort();
}

inline float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }

inline float wide(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return flushed(value);
}

inline void configure(const Config& config) {
  for (int i = 0; i < 8; ++i) {
    demand(config.palette == 1 && config.rows[i] <= 16 && config.bytes[i] <= 64);
    demand((config.rows[i] == 0) == (config.bytes[i] == 0));
    tiles[i] = Tile{config.rows[i], config.bytes[i], {}};
  }
}

inline void load(int to, const void* from, int64_t stride) {
  Tile& tile = tiles[to];
  demand(tile.rows > 0);
  for (int r = 0; r < tile.rows; ++r) std::memcpy(tile.data[r], static_cast<const char*>(from) + r * stride, tile.bytes);
}

inline void store(int from, void* to, int64_t stride) {
  const Tile& tile = tiles[from];
  demand(tile.rows > 0);
  for (int r = 0; r < tile.rows; ++r) std::memcpy(static_cast<char*>(to) + r * stride, tile.data[r], tile.bytes);
}

inline void multiply(int sum, int left, int right) {
  Tile &c = tiles[sum], &a = tiles[left], &b = tiles[right];
  demand(sum != left && sum != right && left != right);
  demand(c.rows > 0 && c.rows == a.rows && c.bytes == b.bytes && a.bytes == 4 * b.rows && a.bytes % 4 == 0);
  for (int m = 0; m < c.rows; ++m) {
    for (int n = 0; n < c.bytes / 4; ++n) {
      float chains[2] = {};
      for (int k = 0; k < a.bytes / 4; ++k) {
        uint16_t x[2], w[2];
        std::memcpy(x, a.data[m] + 4 * k, 4), std::memcpy(w, b.data[k] + 4 * n, 4);
        for (int i = 0; i < 2; ++i) chains[i] = flushed(std::fma(wide(x[i]), wide(w[i]), chains[i]));
      }
      float before;
      std::memcpy(&before, c.data[m] + 4 * n, 4);
      const float after = flushed(flushed(before) + flushed(chains[0] + chains[1]));
      std::memcpy(c.data[m] + 4 * n, &after, 4);
    }
  }
}

inline bool granted() { return true; }

#define TILE_CONFIGURE(config) mindcold::amx::configure(config)
#define TILE_LOAD(to, from, stride) mindcold::amx::load(to, from, stride)
#define TILE_STORE(from, to, stride) mindcold::amx::store(from, to, stride)
#define TILE_MULTIPLY(sum, left, right) mindcold::amx::multiply(sum, left, right)
#define TILE_RELEASE() mindcold::amx::configure(mindcold::amx::Config{})

#else

// Whether the kernel lets this process use the registers, for which it has to be asked once.
inline bool granted() {
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool yes = syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  return yes;
}

// Registers are named in the instruction, so their numbers have to be literals. g++ does not know that the instructions
// read memory, so that all that was written before is made to be there.
#define TILE_READ(instruction) do { __asm__ volatile("" ::: "memory"); instruction; } while (0)
#define TILE_CONFIGURE(config) TILE_READ(_tile_loadconfig(&(config)))
#define TILE_LOAD(to, from, stride) TILE_READ(_tile_loadd(to, from, stride))
#define TILE_STORE(from, to, stride) _tile_stored(from, to, stride)
#define TILE_MULTIPLY(sum, left, right) _tile_dpbf16ps(sum, left, right)
#define TILE_RELEASE() _tile_release()

#endif

}  // namespace mindcold::amx

#endif
