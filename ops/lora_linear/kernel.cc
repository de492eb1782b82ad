// lora_linear on CPU. The contract is reference.py; aot.py packs the operands:
//   x float32 [R, K]; weight uint16 (bfloat16), int8 or float32 [P, K, 32], panels of 32 outputs, those of bfloat16 in
//   the order 0, 16, 1, 17, ...; scale float32 [P * 32] or [1] for none; vectors float32: epsilon, norm [K] if any, bias
//   [P * 32] if any; low_rank float32: A [T, K], B [E, 32]; index int32: lengths of norm and bias, T, E, owner [T],
//   b_start [P + 1], b_rank [E]; adapter int32 [R]; residual float32 [R, N] or [1] for none; output y float32 [R, N].
// Every y[r, n] is one chain of fused multiply-adds over k, in order, then scale, low-rank part, bias and residual: the
// same bits whatever rows are beside it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../parallel.h"
#include "../vec.h"

namespace {

using mindcold::fma;
using mindcold::kLanes;
using mindcold::load;
using mindcold::splat;
using mindcold::store;
using mindcold::Vec;

constexpr int kPanel = 32;
constexpr int kVecs = kPanel / kLanes;
constexpr int kStripes = kVecs / 2;  // stripe s of a panel: vectors s and s + kStripes
constexpr int kTileRows = kLanes == 8 ? 6 : 8;
constexpr int kDirectRows = 2;       // up to so many rows read a panel once, in one pass
constexpr int kPackedRows = 24;      // up to so many rows unpack the weight in registers, in every tile
constexpr int64_t kBlock = 256;      // inputs of a panel that stay in the nearest cache for all tiles

// Stripe s of one line of a panel (the 32 weights of one input).
inline void stripe(const uint16_t* p, int s, Vec* w) { mindcold::load_pairs(p + 2 * kLanes * s, w, w + 1); }
inline void stripe(const int8_t* p, int s, Vec* w) {
  w[0] = mindcold::load_bytes(p + kLanes * s);
  w[1] = mindcold::load_bytes(p + kLanes * (s + kStripes));
}
inline void stripe(const float* p, int s, Vec* w) { w[0] = load(p + kLanes * s), w[1] = load(p + kLanes * (s + kStripes)); }

// A block of one stripe that has been unpacked: its lines are two vectors long.
struct Unpacked {
  const float* data;
};
inline Unpacked operator+(Unpacked p, int64_t offset) { return {p.data + offset / kPanel * 2 * kLanes}; }
inline void stripe(Unpacked p, int, Vec* w) { w[0] = load(p.data), w[1] = load(p.data + kLanes); }

struct Task {
  const float *x, *scale, *bias, *b, *residual;
  const int32_t *owner, *b_start, *b_rank, *adapter, *place;  // place: row of y and of adapter, for each row of x
  const float* low;  // [R, T], null where no row has a low-rank part
  float* y;
  int64_t rows, inputs, outputs, panels, ranks;
  bool scaled, biased, added;
};

// y[r, panel] from the finished sums of one row.
void finish(const Task& t, int64_t r, int64_t panel, float* sums) {
  const int64_t first = panel * kPanel, width = std::min<int64_t>(kPanel, t.outputs - first);
  Vec y[kVecs];
  for (int i = 0; i < kVecs; ++i) {
    y[i] = load(sums + i * kLanes);
    if (t.scaled) y[i] *= load(t.scale + first + i * kLanes);
  }
  if (t.low) {
    for (int32_t e = t.b_start[panel]; e < t.b_start[panel + 1]; ++e) {
      if (t.owner[t.b_rank[e]] != t.adapter[t.place[r]]) continue;
      const Vec low = splat(t.low[r * t.ranks + t.b_rank[e]]);
      for (int i = 0; i < kVecs; ++i) y[i] = fma(low, load(t.b + e * kPanel + i * kLanes), y[i]);
    }
  }
  if (t.biased) {
    for (int i = 0; i < kVecs; ++i) y[i] += load(t.bias + first + i * kLanes);
  }
  float* target = t.y + t.place[r] * t.outputs + first;
  const float* before = t.residual + t.place[r] * t.outputs + first;
  if (width == kPanel) {
    for (int i = 0; i < kVecs; ++i) store(target + i * kLanes, t.added ? y[i] + load(before + i * kLanes) : y[i]);
  } else {
    for (int i = 0; i < kVecs; ++i) store(sums + i * kLanes, y[i]);
    for (int64_t n = 0; n < width; ++n) target[n] = t.added ? sums[n] + before[n] : sums[n];
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
  constexpr int kWide = std::max(1, 8 / (kRows * kVecs));  // enough independent sums to hide the latency of fma
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
    mindcold::keep(w), mindcold::keep(w + 1);
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
  const bool unpack = t.rows > kPackedRows;
  for (int64_t first = 0; first < t.inputs; first += kBlock) {
    const int64_t inputs = std::min(kBlock, t.inputs - first);
    const Weight* p = weight + (panel * t.inputs + first) * kPanel;
    const int64_t share = kPanel * static_cast<int64_t>(sizeof(Weight)) / (kStripes * tiles);
    Ahead ahead{reinterpret_cast<const char*>(p + inputs * kPanel), std::max<int64_t>(share, 1)};
    for (int s = 0; s < kStripes; ++s) {
      float* lines = unpacked + s * 2 * kLanes * kBlock;
      for (int64_t k = 0; unpack && k < inputs; ++k) {
        Vec w[2];
        stripe(p + k * kPanel, s, w);
        store(lines + k * 2 * kLanes, w[0]), store(lines + k * 2 * kLanes + kLanes, w[1]);
      }
      for (int64_t i = 0; i < tiles; ++i) {  // tiles of nearly the same height
        const int64_t row = i * t.rows / tiles, rows = (i + 1) * t.rows / tiles - row;
        const float* x = t.x + row * t.inputs + first;
        float* y = sums + row * kPanel + s * kLanes;
        if (unpack) {
          any_tile(rows, x, t.inputs, Unpacked{lines}, s, inputs, ahead, y);
        } else {
          any_tile(rows, x, t.inputs, p, s, inputs, ahead, y);
        }
        ahead.next += inputs * ahead.step;
      }
    }
  }
  for (int64_t r = 0; r < t.rows; ++r) finish(t, r, panel, sums + r * kPanel);
}

template <class Weight>
void panels(const Task& t, const Weight* weight, int64_t panel, int64_t end) {
  switch (t.rows) {
    case 1: return direct_panels<Weight, 1>(t, weight, panel, end);
    case 2: return direct_panels<Weight, 2>(t, weight, panel, end);
  }
  for (; panel < end; ++panel) blocked(t, weight, panel);
}
static_assert(kDirectRows == 2, "panels() has a case for each");

template <class Weight>
void product(const Task& t, const Weight* weight) {
  // about 64 KB of weights and at least 100k multiplications at a time
  const int64_t bytes = t.inputs * kPanel * static_cast<int64_t>(sizeof(Weight));
  const int64_t chunk = std::clamp<int64_t>(65536 / bytes, 1, std::max<int64_t>(1, t.panels / 4));
  const int64_t chunks = (t.panels + chunk - 1) / chunk;
  const auto body = [&](int64_t i) { panels(t, weight, i * chunk, std::min(t.panels, (i + 1) * chunk)); };
  if (t.rows * t.inputs * t.outputs < 50000) {  // not worth a second thread
    for (int64_t i = 0; i < chunks; ++i) body(i);
  } else {
    mindcold::Pool::get().run(chunks, body);
  }
}

// The rows that are not padding, one after the other, and put through RMSNorm if there is one.
void gather(Task* t, const std::vector<int32_t>& place, const float* norm, float epsilon, std::vector<float>* rows) {
  rows->resize(t->rows * t->inputs);
  for (int64_t r = 0; r < t->rows; ++r) {
    const float* x = t->x + place[r] * t->inputs;
    float* y = rows->data() + r * t->inputs;
    if (!norm) {
      std::memcpy(y, x, sizeof(float) * t->inputs);
      continue;
    }
    const float scale = 1.0f / std::sqrt(mindcold::dot(x, x, t->inputs) / static_cast<float>(t->inputs) + epsilon);
    for (int64_t k = 0; k < t->inputs; ++k) y[k] = x[k] * scale * norm[k];
  }
  t->x = rows->data();
}

// x A^T of every row and rank column that belong together; false where none does.
bool low_rank(const Task& t, const float* a, std::vector<float>* low) {
  const auto has = [&](int64_t j) {
    for (int64_t r = 0; r < t.rows; ++r) {
      if (t.adapter[t.place[r]] == t.owner[j]) return true;
    }
    return false;
  };
  std::vector<int32_t> wanted;
  for (int64_t j = 0; j < t.ranks; ++j) {
    if (has(j)) wanted.push_back(static_cast<int32_t>(j));
  }
  if (wanted.empty()) return false;
  low->resize(t.rows * t.ranks);
  constexpr int64_t kGroup = 4;
  const int64_t count = static_cast<int64_t>(wanted.size());
  const auto body = [&](int64_t group) {
    for (int64_t w = group * kGroup; w < std::min(count, (group + 1) * kGroup); ++w) {
      const int64_t j = wanted[w];
      for (int64_t r = 0; r < t.rows; ++r) {
        if (t.adapter[t.place[r]] != t.owner[j]) continue;
        (*low)[r * t.ranks + j] = mindcold::dot(t.x + r * t.inputs, a + j * t.inputs, t.inputs);
      }
    }
  };
  const int64_t groups = (count + kGroup - 1) / kGroup;
  if (count * t.rows * t.inputs < 50000) {
    for (int64_t i = 0; i < groups; ++i) body(i);
  } else {
    mindcold::Pool::get().run(groups, body);
  }
  return true;
}

// Calls body with the weights as what they are.
template <class Body>
void with_type(const void* weight, const char* dtype, const Body& body) {
  if (std::strcmp(dtype, "uint16") == 0) return body(static_cast<const uint16_t*>(weight));
  if (std::strcmp(dtype, "int8") == 0) return body(static_cast<const int8_t*>(weight));
  body(static_cast<const float*>(weight));
}

}  // namespace

// number int32 [R], panels, scale -> those lines of the weight, float32 [R, K].
extern "C" int lookup(int count, void** params, int*, int64_t** shapes, const char** dtypes, void*, void*) {
  if (count != 4) return 1;
  const auto* number = static_cast<const int32_t*>(params[0]);
  const auto* scale = static_cast<const float*>(params[2]);
  const bool scaled = shapes[2][0] > 1;
  auto* y = static_cast<float*>(params[3]);
  const int64_t rows = shapes[0][0], inputs = shapes[1][1];
  with_type(params[1], dtypes[1], [&](const auto* weight) {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t panel = number[r] / kPanel, column = number[r] % kPanel;
      for (int64_t k = 0; k < inputs; ++k) {
        float lines[kPanel];
        for (int s = 0; s < kStripes; ++s) {
          Vec w[2];
          stripe(weight + (panel * inputs + k) * kPanel, s, w);
          store(lines + s * kLanes, w[0]), store(lines + (s + kStripes) * kLanes, w[1]);
        }
        y[r * inputs + k] = scaled ? lines[column] * scale[number[r]] : lines[column];
      }
    }
  });
  return 0;
}

extern "C" int lora_linear(int count, void** params, int* ndims, int64_t** shapes, const char** dtypes, void*, void*) {
  if (count != 9) return 1;
  Task t{};
  t.x = static_cast<const float*>(params[0]);
  t.inputs = shapes[0][1], t.panels = shapes[1][0], t.outputs = shapes[8][1];
  t.scale = static_cast<const float*>(params[2]), t.scaled = shapes[2][0] > 1;
  const auto* index = static_cast<const int32_t*>(params[5]);
  const int64_t norm_size = index[0], bias_size = index[1];
  t.ranks = index[2];
  t.owner = index + 4, t.b_start = t.owner + t.ranks, t.b_rank = t.b_start + t.panels + 1;
  const auto* vectors = static_cast<const float*>(params[3]);
  t.bias = vectors + 1 + norm_size, t.biased = bias_size > 0;
  const auto* a = static_cast<const float*>(params[4]);
  t.b = a + t.ranks * t.inputs;
  t.adapter = static_cast<const int32_t*>(params[6]);
  t.residual = static_cast<const float*>(params[7]), t.added = ndims[7] == 2;
  t.y = static_cast<float*>(params[8]);
  std::vector<int32_t> place;
  for (int32_t r = 0; r < shapes[0][0]; ++r) {
    if (t.adapter[r] >= -1) place.push_back(r);
  }
  t.rows = static_cast<int64_t>(place.size()), t.place = place.data();
  if (t.rows == 0) return 0;
  std::vector<float> rows, low;
  const bool dense = place.back() + 1 == t.rows;
  if (norm_size > 0 || !dense) gather(&t, place, norm_size > 0 ? vectors + 1 : nullptr, vectors[0], &rows);
  if (low_rank(t, a, &low)) t.low = low.data();
  with_type(params[1], dtypes[1], [&](const auto* weight) { product(t, weight); });
  return 0;
}
