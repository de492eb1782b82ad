// Tables of what followed what, and what they say of the next token. The contract is table.py and recall.py.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "text_index.h"

// Arrays of a table: keys [n, 4, 2], tokens, weights [n, 4, 12], recalls [8, 3, 9, 2], and n.
struct Table {
  int32_t* keys;
  int32_t* tokens;
  float* weights;
  double* recalls;
  int64_t buckets;
};

namespace {

constexpr int64_t kWays = 4;
constexpr int64_t kSuccessors = 12;

struct Context {
  int32_t first, second;
};

uint32_t mix(int32_t first, int32_t second, uint32_t salt) {
  uint32_t mixed = static_cast<uint32_t>(first) * 0x9E3779B1u + static_cast<uint32_t>(second) * 0x85EBCA77u + salt;
  mixed = (mixed ^ (mixed >> 15)) * 0x2C1B3C6Du;
  return mixed ^ (mixed >> 13);
}

int64_t bucket_of(Context c, int64_t buckets) {
  return mix(c.first, c.second, 0x27D4EB2Fu) % static_cast<uint64_t>(buckets);
}

constexpr int kContexts = 5;

Context long_key(int32_t a, int32_t b, int32_t c, int32_t d) {
  return {-3 - static_cast<int32_t>(mix(a, b, 0x165667B1u) >> 2), static_cast<int32_t>(mix(c, d, 0x27220A95u) >> 1)};
}

// Keys of the contexts they make, the longest first; how many.
int contexts(const Last& last, Context* out) {
  int count = 0;
  if (last[0] >= 0) {
    int32_t pairs[4];
    for (int i = 0; i < 4; ++i) pairs[i] = static_cast<int32_t>(mix(last[2 * i], last[2 * i + 1], 0x61C88647u));
    out[count++] = long_key(pairs[0], pairs[1], pairs[2], pairs[3]);
  }
  if (last[4] >= 0) out[count++] = long_key(last[4], last[5], last[6], last[7]);
  if (last[6] >= 0) out[count++] = {last[6], last[7]};
  if (last[7] >= 0) out[count++] = {kNone, last[7]};
  out[count++] = {kNone, kNone};
  return count;
}

// The entry of a context, -1 if there is none.
int64_t find(const Table& t, Context c) {
  const int64_t bucket = bucket_of(c, t.buckets);
  for (int64_t entry = bucket * kWays; entry < (bucket + 1) * kWays; ++entry) {
    if (t.keys[2 * entry] == c.first && t.keys[2 * entry + 1] == c.second) return entry;
  }
  return -1;
}

// The entry of a bucket that has the lowest weight; sums as NumPy takes them over twelve values: eight lanes, then rest.
int64_t lightest(const Table& t, int64_t bucket) {
  int64_t best = -1;
  float lowest = 0;
  for (int64_t entry = bucket * kWays; entry < (bucket + 1) * kWays; ++entry) {
    const float* w = t.weights + entry * kSuccessors;
    float total = ((w[0] + w[1]) + (w[2] + w[3])) + ((w[4] + w[5]) + (w[6] + w[7]));
    for (int64_t i = 8; i < kSuccessors; ++i) total += w[i];
    if (best < 0 || total < lowest) best = entry, lowest = total;
  }
  return best;
}

// The entry of a context; a new one takes the place of the lightest.
int64_t claim(const Table& t, Context c) {
  int64_t entry = find(t, c);
  if (entry < 0) {
    entry = lightest(t, bucket_of(c, t.buckets));
    t.keys[2 * entry] = c.first, t.keys[2 * entry + 1] = c.second;
    std::fill_n(t.tokens + entry * kSuccessors, kSuccessors, kNone);
    std::fill_n(t.weights + entry * kSuccessors, kSuccessors, 0.0f);
  }
  return entry;
}

void add(const Table& t, int64_t entry, int32_t token, float amount, float cap) {
  int32_t* tokens = t.tokens + entry * kSuccessors;
  float* weights = t.weights + entry * kSuccessors;
  int64_t i = std::find(tokens, tokens + kSuccessors, token) - tokens;
  if (i == kSuccessors) {
    i = std::min_element(weights, weights + kSuccessors) - weights;
    tokens[i] = token, weights[i] = 0;
  }
  weights[i] = std::min(cap, weights[i] + amount);
}

void increment(const Table& t, Context c, int32_t token, float amount, float cap, float keep) {
  const int64_t entry = claim(t, c);
  float* weights = t.weights + entry * kSuccessors;
  for (int64_t j = 0; j < kSuccessors; ++j) weights[j] *= keep;
  add(t, entry, token, amount, cap);
}

struct Share {
  int32_t token;
  double value;
};

// Tokens and their shares, in the order they were found; room for all contexts of two tables what is recalled
// and what was said.
class Shares {
 public:
  void clear() { count_ = 0; }
  bool empty() const { return count_ == 0; }
  Share* begin() { return items_; }
  Share* end() { return items_ + count_; }
  const Share* begin() const { return items_; }
  const Share* end() const { return items_ + count_; }

  void add(int32_t token, double value) {
    for (Share& item : *this) {
      if (item.token == token) {
        item.value += value;
        return;
      }
    }
    items_[count_++] = {token, value};
  }

  void set(int32_t token, double value) {
    for (Share& item : *this) {
      if (item.token == token) {
        item.value = value;
        return;
      }
    }
    items_[count_++] = {token, value};
  }

  // Adds what a table knows of a context.
  void add(const Table& t, Context c) {
    const int64_t entry = find(t, c);
    if (entry < 0) return;
    for (int64_t i = entry * kSuccessors; i < (entry + 1) * kSuccessors; ++i) {
      if (t.weights[i] > 0) add(t.tokens[i], t.weights[i]);
    }
  }

  double sum() const {
    double total = 0;
    for (const Share& item : *this) total += item.value;
    return total;
  }

  double of(int32_t token) const {
    for (const Share& item : *this) {
      if (item.token == token) return item.value;
    }
    return 0;
  }

 private:
  Share items_[(kContexts * 2 + 1) * kSuccessors + kRanks];
  int64_t count_ = 0;
};

void distribution(const Table* const (&tables)[2], const Last& last, Shares* found) {
  found->clear();
  double left = 1;
  Context known[kContexts];
  const int count = contexts(last, known);
  for (int k = 0; k < count; ++k) {
    Shares weights;
    for (const Table* t : tables) weights.add(*t, known[k]);
    const double total = weights.sum();
    if (total <= 0) continue;
    const double share = left * total / (total + (known[k].first < -2 ? 0.5 : 0.25));
    for (const Share& item : weights) found->add(item.token, share * item.value / total);
    left -= share;
  }
}

constexpr double kRecallKeep = 0.99;
constexpr std::array<double, 8> kBounds{0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95};

// Hits and trials of a recalled token.
double* counts_of(const Table& t, const Followers& m, int64_t rank, double probability) {
  int64_t kind = 0;
  for (const double bound : kBounds) kind += probability >= bound;
  const int64_t kinds = kBounds.size() + 1;
  return t.recalls + 2 * (((m.agree - 1) * kRanks + rank) * kinds + kind);
}

// Gives recalled tokens the share of times that such ones were right.
void recall(const Table& t, const TextIndex& index, const Last& last, Shares* found) {
  const Followers m = index.matches(last);
  if (m.count == 0) return;
  double shares[kRanks];
  double total = 0, left = 1;
  for (int64_t rank = 0; rank < m.count; ++rank) {
    const double known = found->of(m.tokens[rank]);
    const double* counts = counts_of(t, m, rank, known);
    shares[rank] = counts[0] / counts[1];
    total += shares[rank];
    left -= known;
  }
  if (total > 1) {
    for (int64_t rank = 0; rank < m.count; ++rank) shares[rank] /= total;
    total = 1;
  }
  const double rest = left > 1e-9 ? std::min(1.0, (1 - total) / left) : 0.0;
  for (Share& item : *found) item.value *= rest;
  for (int64_t rank = 0; rank < m.count; ++rank) found->set(m.tokens[rank], shares[rank]);
}

}  // namespace
