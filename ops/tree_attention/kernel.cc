// tree_attention on CPU. The contract is reference.py; inputs q [R, H, D], k, v [R, KV, D], k_cache, v_cache [N, KV, D]
// (changed in place), rows int32 [8, R], window int32 [1]; output [R, H, D].
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../exp.h"
#include "../parallel.h"
#include "../vec.h"

namespace {

using mindcold::fma;
using mindcold::kLanes;
using mindcold::load;
using mindcold::splat;
using mindcold::store;
using mindcold::Vec;

struct Step {
  const float *q, *k, *v;
  float *k_cache, *v_cache, *out;
  const int32_t *start, *position, *cell, *parent;
  int64_t rows, heads, kv_heads, size, window;
};

// Cells the row sees, in the order of their positions.
void visible_cells(const Step& s, int64_t row, std::vector<int32_t>* cells) {
  int64_t depth = 0, root = row;
  for (; s.parent[root] >= 0; root = s.parent[root]) ++depth;
  const int64_t first = s.window > 0 && s.position[row] >= s.window ? s.position[row] - s.window + 1 : 0;
  cells->clear();
  for (int64_t p = first; p < s.position[root]; ++p) cells->push_back(s.start[row] + static_cast<int32_t>(p));
  const size_t committed = cells->size();
  cells->resize(committed + depth + 1);
  size_t kept = cells->size();
  for (int64_t i = row;; i = s.parent[i]) {
    if (s.position[i] >= first) (*cells)[--kept] = s.cell[i];
    if (s.parent[i] < 0) break;
  }
  cells->erase(cells->begin() + committed, cells->begin() + kept);
}

void softmax(float* w, int64_t n) {
  float best = w[0], sum = 0;
  for (int64_t c = 1; c < n; ++c) best = w[c] > best ? w[c] : best;
  Vec lanes{};
  int64_t c = 0;
  for (; c + kLanes <= n; c += kLanes) {
    const Vec e = mindcold::exp_nonpositive(load(w + c) - best);
    store(w + c, e);
    lanes += e;
  }
  for (; c < n; ++c) sum += w[c] = mindcold::exp_nonpositive(w[c] - best);
  const float inverse = 1.0f / (sum + mindcold::sum(lanes));
  for (c = 0; c < n; ++c) w[c] *= inverse;
}

// Lines of the output that stay in registers while the values go by.
constexpr int kBlock = 4;

// out [kVecs vectors from d on] of one head: weights [n] times the values of the cells, in their order.
template <int kVecs>
void mix_block(const float* values, int64_t stride, const std::vector<int32_t>& cells, const float* weights, float* out) {
  Vec sums[kVecs] = {};
  for (size_t c = 0; c < cells.size(); ++c) {
    const float* value = values + cells[c] * stride;
    const Vec w = splat(weights[c]);
    for (int i = 0; i < kVecs; ++i) sums[i] = fma(w, load(value + i * kLanes), sums[i]);
  }
  for (int i = 0; i < kVecs; ++i) store(out + i * kLanes, sums[i]);
}

// out [groups, D] = weights [groups, n] times the values of the cells.
void mix(const Step& s, int64_t kv, const std::vector<int32_t>& cells, const float* weights, int64_t groups,
         float* out) {
  const int64_t n = static_cast<int64_t>(cells.size()), size = s.size, stride = s.kv_heads * size;
  for (int64_t g = 0; g < groups; ++g) {
    const float *values = s.v_cache + kv * size, *w = weights + g * n;
    float* target = out + g * size;
    int64_t d = 0;
    for (; d + kBlock * kLanes <= size; d += kBlock * kLanes) mix_block<kBlock>(values + d, stride, cells, w, target + d);
    for (; d + kLanes <= size; d += kLanes) mix_block<1>(values + d, stride, cells, w, target + d);
    for (; d < size; ++d) {
      float sum = 0;
      for (int64_t c = 0; c < n; ++c) sum += w[c] * values[cells[c] * stride + d];
      target[d] = sum;
    }
  }
}

// weights [groups, n] = scale times q [groups, D] with the keys of the cells.
void score(const Step& s, int64_t kv, const std::vector<int32_t>& cells, const float* q, int64_t groups, float scale,
           float* weights) {
  const int64_t n = static_cast<int64_t>(cells.size()), size = s.size, stride = s.kv_heads * size;
  const float* keys = s.k_cache + kv * size;
  for (int64_t g = 0; g < groups; ++g, q += size, weights += n) {
    int64_t c = 0;
    if (size % kLanes == 0) {
      for (; c + kLanes <= n; c += kLanes) {  // as many keys as lanes, whose sums are then one vector
        Vec sums[kLanes];
        for (int i = 0; i < kLanes; ++i) sums[i] = Vec{};
        for (int64_t d = 0; d < size; d += kLanes) {
          const Vec x = load(q + d);
          for (int i = 0; i < kLanes; ++i) sums[i] = fma(x, load(keys + cells[c + i] * stride + d), sums[i]);
        }
        store(weights + c, mindcold::sum_each(sums) * scale);
      }
    }
    for (; c < n; ++c) weights[c] = mindcold::dot(q, keys + cells[c] * stride, size) * scale;
  }
}

// All query heads of one key head, for one row.
void attend(const Step& s, int64_t row, int64_t kv, const std::vector<int32_t>& cells, std::vector<float>* buffer) {
  const int64_t groups = s.heads / s.kv_heads, n = static_cast<int64_t>(cells.size()), size = s.size;
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  const float* q = s.q + (row * s.heads + kv * groups) * size;
  float* out = s.out + (row * s.heads + kv * groups) * size;
  buffer->resize(groups * n);
  float* weights = buffer->data();
  score(s, kv, cells, q, groups, scale, weights);
  for (int64_t g = 0; g < groups; ++g) softmax(weights + g * n, n);
  mix(s, kv, cells, weights, groups, out);
}

}  // namespace

extern "C" int tree_attention(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (count != 8) return 1;
  const auto* rows = static_cast<const int32_t*>(params[5]);
  Step s;
  s.q = static_cast<const float*>(params[0]);
  s.k = static_cast<const float*>(params[1]);
  s.v = static_cast<const float*>(params[2]);
  s.k_cache = static_cast<float*>(params[3]);
  s.v_cache = static_cast<float*>(params[4]);
  s.out = static_cast<float*>(params[7]);
  s.rows = shapes[0][0], s.heads = shapes[0][1], s.size = shapes[0][2], s.kv_heads = shapes[1][1];
  s.window = static_cast<const int32_t*>(params[6])[0];
  s.start = rows + s.rows, s.position = rows + 2 * s.rows, s.cell = rows + 3 * s.rows, s.parent = rows + 4 * s.rows;
  const int64_t width = s.kv_heads * s.size;
  const int32_t *source = rows + 6 * s.rows, *target = rows + 7 * s.rows;
  for (int64_t i = 0; i < s.rows; ++i) {
    if (source[i] < 0) continue;
    std::memcpy(s.k_cache + target[i] * width, s.k_cache + source[i] * width, sizeof(float) * width);
    std::memcpy(s.v_cache + target[i] * width, s.v_cache + source[i] * width, sizeof(float) * width);
  }
  int64_t keys = 0;
  for (int64_t r = 0; r < s.rows; ++r) {
    if (s.start[r] < 0) continue;
    std::memcpy(s.k_cache + s.cell[r] * width, s.k + r * width, sizeof(float) * width);
    std::memcpy(s.v_cache + s.cell[r] * width, s.v + r * width, sizeof(float) * width);
    keys += s.position[r] + 1;
  }
  const auto head = [&](int64_t i) {
    static thread_local std::vector<int32_t> cells;
    static thread_local std::vector<float> buffer;
    const int64_t r = i / s.kv_heads, kv = i % s.kv_heads, groups = s.heads / s.kv_heads;
    if (s.start[r] < 0) {
      std::memset(s.out + (r * s.heads + kv * groups) * s.size, 0, sizeof(float) * groups * s.size);
      return;
    }
    visible_cells(s, r, &cells);
    attend(s, r, kv, cells, &buffer);
  };
  if (keys * s.heads * s.size < 131072) {  // not worth a second thread
    for (int64_t i = 0; i < s.rows * s.kv_heads; ++i) head(i);
  } else {
    mindcold::Pool::get().run(s.rows * s.kv_heads, head);
  }
  return 0;
}
