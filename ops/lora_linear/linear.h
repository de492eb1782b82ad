// A linear layer with the low-rank parts of its adapters: what comes before and after the products. See reference.py.
#pragma once

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

// The constant operands as aot.py packs them.
struct Layer {
  const void* weight;
  Type type;
  int64_t inputs, outputs, panels;
  const float* scale;  // [panels * 32], or null
  const float* vectors;
  const float* low_rank;
  const int32_t* index;
};

// Space that is used again for every layer of a step.
struct Space {
  std::vector<int32_t> place;
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

// x A^T of every row and rank column that belong together; false where none does.
inline bool low_rank(const Task& t, const float* a, std::vector<float>* low) {
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
        (*low)[r * t.ranks + j] = dot(t.x + r * t.inputs, a + j * t.inputs, t.inputs);
      }
    }
  };
  const int64_t groups = (count + kGroup - 1) / kGroup;
  if (count * t.rows * t.inputs < 50000) {
    for (int64_t i = 0; i < groups; ++i) body(i);
  } else {
    Pool::get().run(groups, body);
  }
  return true;
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
  const int64_t norm_size = layer.index[0], bias_size = layer.index[1];
  t.ranks = layer.index[2];
  t.owner = layer.index + 4, t.b_start = t.owner + t.ranks, t.b_rank = t.b_start + t.panels + 1;
  t.bias = layer.vectors + 1 + norm_size, t.biased = bias_size > 0;
  t.b = layer.low_rank + t.ranks * t.inputs;
  const bool dense = space->place.back() + 1 == t.rows, paired = layer.type == Type::kBfloat16;
  prepare(&t, norm_size > 0 ? layer.vectors + 1 : nullptr, layer.vectors[0], norm_size > 0 || !dense, paired, space);
  if (low_rank(t, layer.low_rank, &space->low)) t.low = space->low.data();
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
