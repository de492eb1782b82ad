// What a model said lately, and how far to believe it. The contract is said.py.
#pragma once

#include <algorithm>
#include <cmath>

#include "table.h"

namespace {

constexpr int32_t kSaid = 0x40000000;
constexpr double kSaidKeep = 0.5;
constexpr double kMix[4][3] = {{-0.93, 1.11, 0.0}, {-0.59, 0.43, 0.24}, {-0.19, 0.36, 0.38}, {0.4, 0.6, 0.4}};
constexpr double kLowest = 1e-3;

struct SaidKey {
  Context key;
  int line;
};

// Keys for the last four tokens, two and one; how many.
int said_keys(Last last, SaidKey* out) {
  last[0] = kNone;
  Context known[kContexts];
  const int count = contexts(last, known) - 1;
  for (int i = 0; i < count; ++i) {
    const auto [first, second] = known[i];
    if (first < -2) {
      out[i] = {{first, second ^ kSaid}, 3};
    } else if (first >= 0) {
      out[i] = {{first ^ kSaid, second}, 2};
    } else {
      out[i] = {{first, second ^ kSaid}, 1};
    }
  }
  return count;
}

// Learns the k best tokens after some last tokens.
void absorb(const Table& table, const Last& last, const int32_t* best, const float* logprobs, int64_t k) {
  SaidKey keys[kContexts];
  const int count = said_keys(last, keys);
  for (int i = 0; i < count; ++i) {
    const int64_t entry = claim(table, keys[i].key);
    float* weights = table.weights + entry * kSuccessors;
    for (int64_t j = 0; j < kSuccessors; ++j) weights[j] *= static_cast<float>(kSaidKeep);
    for (int64_t j = 0; j < k; ++j) {
      if (best[j] < 0) continue;
      const double more = (1 - kSaidKeep) * std::exp(static_cast<double>(logprobs[j]));
      add(table, entry, best[j], static_cast<float>(more), 1.0f);
    }
  }
}

double log_odds(double probability) {
  const double p = std::min(std::max(probability, kLowest), 1 - kLowest);
  return std::log(p / (1 - p));
}

// Adds tokens that were said, and gives all the probability that such ones were right with.
void believe(const Table& table, const Last& last, Shares* found) {
  SaidKey keys[kContexts];
  const int count = said_keys(last, keys);
  Shares said;
  int line = 0;
  for (int i = 0; i < count && line == 0; ++i) {
    if (find(table, keys[i].key) < 0) continue;
    said.add(table, keys[i].key);
    line = keys[i].line;
  }
  for (const Share& item : said) found->add(item.token, 0.0);
  double total = 0;
  for (Share& item : *found) {
    const double odds = kMix[line][0] + kMix[line][1] * log_odds(item.value) + kMix[line][2] * log_odds(said.of(item.token));
    item.value = 1 / (1 + std::exp(-odds));
    total += item.value;
  }
  if (total > 1) {
    for (Share& item : *found) item.value /= total;
  }
}

}  // namespace
