// Reads memory as fast as all threads can, to know what a pass over weights of that size costs at least.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "../parallel.h"
#include "../vec.h"

extern "C" int64_t read_memory(const void* data, int64_t bytes) {
  constexpr int64_t kChunk = 1 << 18;
  constexpr int64_t kLine = 4 * sizeof(mindcold::Bits);
  std::atomic<int64_t> total{0};
  mindcold::Pool::get().run((bytes + kChunk - 1) / kChunk, [&](int64_t i) {
    const auto* p = static_cast<const char*>(data) + i * kChunk;
    const auto* end = p + std::min(kChunk, bytes - i * kChunk);
    mindcold::Bits sums[4] = {};
    for (; p + kLine <= end; p += kLine) {
      for (int j = 0; j < 4; ++j) {
        mindcold::Bits words;
        std::memcpy(&words, p + j * sizeof words, sizeof words);
        sums[j] += words;
      }
    }
    total += (sums[0] + sums[1] + sums[2] + sums[3])[0];  // so that nothing is left out
  });
  return total;
}
