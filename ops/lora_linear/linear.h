// A linear layer with the low-rank parts of its adapters: what comes before and after the products. See reference.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../parallel.h"
#include "../vec.h"
#include "pairs.h"
#include "panels.h"
#include "task.h"

namespace mindcold::linear {

enum class Type { kFloat, kBfloat16, kInt8 };

inline Type type_of(const char* dtype) {
  return std::strcmp(dtype, "uint16") == 0 ? Type::kBfloat16 : std::strcmp(dtype, "int8") == 0 ? Type::kInt8 : Type::kFloat;
}

// What never changes of a layer.
struct Layer {
  const void* weight;
  Type type;
  int64_t inputs, outputs, panels;
  const float* scale;    // [panels * 32], or null
  const float* vectors;  // epsilon, norm [norm_size], bias [bias_size]
  int64_t norm_size, bias_size;
  std::vector<LowRank> pairs;
};

// Space that is used again for every layer of a step.
struct Space {
  std::vector<int32_t> place, own, own_start;
  std::vector<float> rows, low;
  std::vector<Pair> pairs;
};

// The rows that are not padding, one after the other, through RMSNorm if there is one, and in pairs if they are wanted.
inline void prepare(Task* t, const float* norm, float epsilon, bool copied, bool paired, Space* space) {
  const int64_t pairs = (t->inputs + 1) / 2;
  if (copied) space->rows.resize(t->rows * t->inputs);
  if (paired) space->pairs.resize(t->rows * pairs);
  const float* given = t->x;
  const auto row = [&](int64_t r) {
    const float* x = given + (copied ? t->place[r] : r) * t->inputs;
    if (copied) {
      float* y = space->rows.data() + r * t->inputs;
      if (norm) {
        const float scale = 1.0f / std::sqrt(dot(x, x, t->inputs) / static_cast<float>(t->inputs) + epsilon);
        for (int64_t k = 0; k < t->inputs; ++k) y[k] = x[k] * scale * norm[k];
      } else {
        std::memcpy(y, x, sizeof(float) * t->inputs);
      }
      x = y;
    }
    if (paired) pair_up(x, t->inputs, space->pairs.data() + r * pairs);
  };
  if (t->rows * t->inputs < 65536) {  // not worth a second thread
    for (int64_t r = 0; r < t->rows; ++r) row(r);
  } else {
    Pool::get().run(t->rows, row);
  }
  if (copied) t->x = space->rows.data();
}

// The low-rank parts of every row's own adapter, and x A^T for them.
inline void low_rank(const Layer& layer, Task* t, Space* space) {
  const int64_t count = static_cast<int64_t>(layer.pairs.size());
  space->own.clear(), space->own_start.assign(1, 0);
  t->ranks = 0;
  for (int64_t r = 0; r < t->rows; ++r) {
    int64_t ranks = 0;
    for (int32_t i = 0; i < count; ++i) {
      if (layer.pairs[i].adapter != t->adapter[t->place[r]]) continue;
      space->own.push_back(i), ranks += layer.pairs[i].rank;
    }
    space->own_start.push_back(static_cast<int32_t>(space->own.size()));
    t->ranks = std::max(t->ranks, ranks);
  }
  t->pairs = layer.pairs.data(), t->own = space->own.data(), t->own_start = space->own_start.data();
  space->low.resize(t->rows * t->ranks);
  t->low = space->low.data();
  if (space->own.empty()) return;
  // by groups of four lines of A of one pair, each for all rows that have it: those lines are read once
  constexpr int64_t kGroup = 4;
  const int64_t groups = (t->ranks + kGroup - 1) / kGroup;
  const auto body = [&](int64_t item) {
    const int32_t number = static_cast<int32_t>(item / groups);
    const LowRank& pair = layer.pairs[number];
    const int64_t begin = item % groups * kGroup, end = std::min(pair.rank, begin + kGroup);
    for (int64_t r = 0; begin < end && r < t->rows; ++r) {
      float* low = space->low.data() + r * t->ranks;
      for (int32_t e = t->own_start[r]; e < t->own_start[r + 1]; ++e) {
        if (t->own[e] == number) {
          for (int64_t k = begin; k < end; ++k) low[k] = dot(t->x + r * t->inputs, pair.a + k * t->inputs, t->inputs);
        }
        low += layer.pairs[t->own[e]].rank;
      }
    }
  };
  if (static_cast<int64_t>(space->own.size()) * t->ranks * t->inputs < 50000) {  // not worth a second thread
    for (int64_t i = 0; i < count * groups; ++i) body(i);
  } else {
    Pool::get().run(count * groups, body);
  }
}

// x [all, K] -> y [all, N], both of all rows, padding too; residual [all, N] or null.
inline void apply(const Layer& layer, const float* x, const int32_t* adapter, int64_t all, const float* residual, float* y,
                  Space* space) {
  space->place.clear();
  for (int32_t r = 0; r < all; ++r) {
    if (adapter[r] >= -1) space->place.push_back(r);
  }
  if (space->place.empty()) return;
  Task t{};
  t.x = x, t.y = y, t.adapter = adapter, t.residual = residual ? residual : y, t.added = residual != nullptr;
  t.rows = static_cast<int64_t>(space->place.size()), t.place = space->place.data();
  t.inputs = layer.inputs, t.outputs = layer.outputs, t.panels = layer.panels;
  t.scale = layer.scale, t.scaled = layer.scale != nullptr;
  t.bias = layer.vectors + 1 + layer.norm_size, t.biased = layer.bias_size > 0;
  const bool dense = space->place.back() + 1 == t.rows, normed = layer.norm_size > 0;
  prepare(&t, normed ? layer.vectors + 1 : nullptr, layer.vectors[0], normed || !dense, layer.type == Type::kBfloat16, space);
  low_rank(layer, &t, space);
  switch (layer.type) {
    case Type::kBfloat16: return pair_product(t, static_cast<const uint16_t*>(layer.weight), space->pairs.data());
    case Type::kInt8: return product(t, static_cast<const int8_t*>(layer.weight));
    case Type::kFloat: return product(t, static_cast<const float*>(layer.weight));
  }
}

// One line of the weight, float32 [inputs].
inline void line(const Layer& layer, int64_t number, float* y) {
  const int64_t panel = number / kPanel, column = number % kPanel, inputs = layer.inputs;
  if (layer.type == Type::kBfloat16) {
    const auto* p = static_cast<const uint16_t*>(layer.weight) + panel * ((inputs + 1) / 2) * 2 * kPanel + column * 2;
    for (int64_t k = 0; k < inputs; ++k) y[k] = from_bf16(p[k / 2 * 2 * kPanel + k % 2]);
    return;
  }
  for (int64_t k = 0; k < inputs; ++k) {
    const int64_t at = (panel * inputs + k) * kPanel + column;
    if (layer.type == Type::kFloat) {
      y[k] = static_cast<const float*>(layer.weight)[at];
    } else {
      y[k] = static_cast<float>(static_cast<const int8_t*>(layer.weight)[at]) * layer.scale[number];
    }
  }
}

}  // namespace mindcold::linear
