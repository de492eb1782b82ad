// frozen_matmul on CPUs with AVX-512 BF16. The contract is reference.py; aot.py packs the weight:
//   x float32 [R, K]; weight bfloat16 [P, ceil(K / 2), 48, 2], panels of 48 outputs, two inputs side by side;
//   optionally low float32 [R, r] and up float32 [r, N] (or [N, r] for the entry "transposed"); output y float32 [R, N].
// A panel (or a block of its inputs, where there are many) stays in the second cache while all rows go by, eight at a time:
// 24 sums in registers, each the product of a pair of inputs with 16 outputs at a time.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "../parallel.h"

#if defined(__AVX512BF16__)
namespace {

constexpr int64_t kPanel = 48;
constexpr int kVecs = 3;
constexpr int kTileRows = 8;
constexpr int64_t kBlock = 3072;  // pairs of inputs; their part of a panel takes 576 KB

struct Task {
  const uint32_t* x;  // [R, pairs]: two bfloat16 each
  const uint16_t* weight;
  const float *low, *up;  // null where there is no low-rank part
  float* y;
  int64_t rows, pairs, outputs, rank;
  bool transposed;
};

// A row of x in bfloat16, rounded to nearest even; an odd last input has a zero beside it.
void round_row(const float* x, int64_t inputs, uint32_t* out) {
  auto* target = reinterpret_cast<uint16_t*>(out);
  int64_t k = 0;
  for (; k + 32 <= inputs; k += 32) {
    const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + k + 16), _mm512_loadu_ps(x + k));
    std::memcpy(target + k, &both, sizeof both);
  }
  for (; k < inputs; ++k) {
    const __m128bh one = _mm_cvtneps_pbh(_mm_set_ss(x[k]));
    std::memcpy(target + k, &one, sizeof(uint16_t));
  }
  if (inputs % 2) target[inputs] = 0;
}

// What a panel is computed with: the part of `up`, [rank, 48], and a block of inputs.
struct Part {
  const float* up;
  int64_t panel, begin, end;
};

template <int kRows>
void tile(const Task& t, const Part& part, int64_t row) {
  const int64_t first = part.panel * kPanel;
  __mmask16 masks[kVecs];
  for (int i = 0; i < kVecs; ++i) {
    masks[i] = static_cast<__mmask16>((1u << std::clamp<int64_t>(t.outputs - first - 16 * i, 0, 16)) - 1);
  }
  __m512 sums[kRows][kVecs];
  for (int r = 0; r < kRows; ++r) {
    const float* y = t.y + (row + r) * t.outputs + first;
    for (int i = 0; i < kVecs; ++i) {
      sums[r][i] = part.begin > 0 ? _mm512_maskz_loadu_ps(masks[i], y + 16 * i) : _mm512_setzero_ps();
    }
  }
  const uint16_t* w = t.weight + (part.panel * t.pairs + part.begin) * kPanel * 2;
  const uint32_t* x = t.x + row * t.pairs;
  for (int64_t k = part.begin; k < part.end; ++k, w += kPanel * 2) {
    __m512i lines[kVecs];
    for (int i = 0; i < kVecs; ++i) lines[i] = _mm512_loadu_si512(w + 32 * i);
    for (int r = 0; r < kRows; ++r) {
      const __m512i pair = _mm512_set1_epi32(static_cast<int>(x[r * t.pairs + k]));
      for (int i = 0; i < kVecs; ++i) sums[r][i] = _mm512_dpbf16_ps(sums[r][i], (__m512bh)pair, (__m512bh)lines[i]);
    }
  }
  const float* up = part.up;
  for (int64_t j = 0; part.end == t.pairs && j < t.rank; ++j, up += kPanel) {
    for (int r = 0; r < kRows; ++r) {
      const __m512 low = _mm512_set1_ps(t.low[(row + r) * t.rank + j]);
      for (int i = 0; i < kVecs; ++i) sums[r][i] = _mm512_fmadd_ps(low, _mm512_loadu_ps(up + 16 * i), sums[r][i]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* y = t.y + (row + r) * t.outputs + first;
    for (int i = 0; i < kVecs; ++i) _mm512_mask_storeu_ps(y + 16 * i, masks[i], sums[r][i]);
  }
}

void last_tile(const Task& t, const Part& part, int64_t rows, int64_t row) {
  switch (rows) {
    case 1: return tile<1>(t, part, row);
    case 2: return tile<2>(t, part, row);
    case 3: return tile<3>(t, part, row);
    case 4: return tile<4>(t, part, row);
    case 5: return tile<5>(t, part, row);
    case 6: return tile<6>(t, part, row);
    case 7: return tile<7>(t, part, row);
  }
}

// The part of `up` that a panel of outputs takes, zeros beyond the last output.
void panel_of_up(const Task& t, int64_t panel, float* out) {
  for (int64_t j = 0; j < t.rank; ++j) {
    for (int64_t i = 0; i < kPanel; ++i) {
      const int64_t n = panel * kPanel + i;
      *out++ = n < t.outputs ? t.up[t.transposed ? n * t.rank + j : j * t.outputs + n] : 0.0f;
    }
  }
}

int run(int count, void** params, int64_t** shapes, bool transposed) {
  if (count != 3 && count != 5) return 1;
  const bool added = count == 5;
  const auto* x = static_cast<const float*>(params[0]);
  const int64_t rows = shapes[0][0], inputs = shapes[0][1], panels = shapes[1][0], pairs = shapes[1][1];
  static thread_local std::vector<uint32_t> rounded;
  rounded.resize(rows * pairs);
  uint32_t* target = rounded.data();
  auto& pool = mindcold::Pool::get();
  const int64_t share = 32, shares = (rows + share - 1) / share;
  pool.run(shares, [&](int64_t i) {
    for (int64_t r = i * share; r < std::min(rows, (i + 1) * share); ++r) round_row(x + r * inputs, inputs, target + r * pairs);
  });
  Task t{};
  t.x = target, t.weight = static_cast<const uint16_t*>(params[1]), t.y = static_cast<float*>(params[count - 1]);
  t.rows = rows, t.pairs = pairs, t.outputs = shapes[count - 1][1], t.transposed = transposed;
  if (added) {
    t.low = static_cast<const float*>(params[2]), t.up = static_cast<const float*>(params[3]);
    t.rank = shapes[2][1];
  }
  pool.run(panels, [&](int64_t panel) {
    static thread_local std::vector<float> up;
    up.resize(t.rank * kPanel);
    panel_of_up(t, panel, up.data());
    for (int64_t begin = 0; begin < pairs; begin += kBlock) {
      const Part part{up.data(), panel, begin, std::min(pairs, begin + kBlock)};
      int64_t row = 0;
      for (; row + kTileRows <= rows; row += kTileRows) tile<kTileRows>(t, part, row);
      last_tile(t, part, rows - row, row);
    }
  });
  return 0;
}

}  // namespace

extern "C" int frozen_matmul(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  return run(count, params, shapes, false);
}

extern "C" int frozen_matmul_transposed(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  return run(count, params, shapes, true);
}
#else
extern "C" int frozen_matmul(int, void**, int*, int64_t**, const char**, void*, void*) { return 1; }
extern "C" int frozen_matmul_transposed(int, void**, int*, int64_t**, const char**, void*, void*) { return 1; }
#endif
