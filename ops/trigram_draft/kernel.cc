// trigram_draft on CPU. The contract is reference.py, table.py, recall.py and said.py, and the arithmetic is theirs, in double
// precision and in their order.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "mcts.h"
#include "said.h"
#include "table.h"

namespace {

struct Candidate {
  double probability;
  int64_t number;  // order of discovery
  int32_t token, parent, level;
  bool operator<(const Candidate& other) const {
    return probability != other.probability ? probability < other.probability : number > other.number;
  }
};

}  // namespace

extern "C" void trigram_update(const Table* table, const int32_t* ids, int64_t count, int64_t start, float amount,
                               float cap, float keep) {
  for (int64_t i = start; i < count; ++i) {
    const Last last = last_tokens(ids, i);
    Context known[kContexts];
    const int contexts_of = contexts(last, known);
    for (int k = 0; k < contexts_of; ++k) increment(*table, known[k], ids[i], amount, cap, keep);
  }
}

// Learns the k best tokens after a text and after each node of a draft.
extern "C" void trigram_absorb(const Table* table, const int32_t* ids, int64_t count, const int32_t* tokens,
                               const int32_t* parents, int64_t nodes, const int32_t* best, const float* logprobs,
                               int64_t k) {
  static thread_local std::vector<Last> lasts;
  lasts.resize(nodes + 1);
  for (int64_t row = 0; row <= nodes; ++row) {
    if (row == 0) {
      lasts[0] = last_tokens(ids, count);
    } else {
      const Last& above = lasts[parents[row - 1] + 1];
      std::copy(above.begin() + 1, above.end(), lasts[row].begin());
      lasts[row][kReach - 1] = tokens[row - 1];
    }
    absorb(*table, lasts[row], best + row * k, logprobs + row * k, k);
  }
}

extern "C" TextIndex* trigram_index(int64_t limit) { return new TextIndex(limit); }

extern "C" void trigram_forget_index(TextIndex* index) { delete index; }

// Takes a text into its index from `start` on, and counts, in the own table, what recalls would have been right.
extern "C" void trigram_remember(const Table* shared, const Table* own, TextIndex* index, const int32_t* ids,
                                 int64_t count, int64_t start) {
  const Table* const tables[2] = {shared, own};
  Shares found;
  for (int64_t i = std::max<int64_t>(1, start); i < count; ++i) {
    const Last last = last_tokens(ids, i);
    const Followers m = index->matches(last);
    if (m.count) distribution(tables, last, &found);
    for (int64_t rank = 0; rank < m.count; ++rank) {
      double* counts = counts_of(*own, m, rank, found.of(m.tokens[rank]));
      counts[0] = counts[0] * kRecallKeep + (m.tokens[rank] == ids[i] ? 1.0 : 0.0);
      counts[1] = counts[1] * kRecallKeep + 1.0;
    }
    index->add(last, ids[i]);
  }
}

// Fills tokens, parents and probabilities with at most `budget` nodes and returns how many.
extern "C" int32_t trigram_draft(const Table* shared, const Table* own, const TextIndex* index, const int32_t* ids,
                                 int64_t count, int32_t budget, int32_t depth, double floor, int32_t* tokens,
                                 int32_t* parents, double* probabilities) {
  const Table* const tables[2] = {shared, own};
  static thread_local std::vector<Candidate> open;  // a heap
  static thread_local std::vector<Last> lasts;      // tokens before each node's children, the root's first
  open.clear();
  lasts.resize(budget + 1);
  lasts[0] = last_tokens(ids, count);
  Shares found;
  int64_t discovered = 0;
  const auto expand = [&](int32_t node, double probability, int32_t level) {
    Last& last = lasts[node + 1];
    if (node >= 0) {
      const Last& above = lasts[parents[node] + 1];
      std::copy(above.begin() + 1, above.end(), last.begin());
      last[kReach - 1] = tokens[node];
    }
    distribution(tables, last, &found);
    recall(*own, *index, last, &found);
    believe(*own, last, &found);
    Share* end = std::remove_if(found.begin(), found.end(),
                                [&](const Share& item) { return probability * item.value < floor; });
    std::sort(found.begin(), end, [](const Share& a, const Share& b) {
      return a.value != b.value ? a.value > b.value : a.token < b.token;
    });
    for (const Share* item = found.begin(); item < end; ++item) {
      open.push_back({probability * item->value, discovered++, item->token, node, level});
      std::push_heap(open.begin(), open.end());
    }
  };
  int32_t size = 0;
  expand(-1, 1.0, 1);
  while (!open.empty() && size < budget) {
    const Candidate node = open.front();
    std::pop_heap(open.begin(), open.end());
    open.pop_back();
    tokens[size] = node.token, parents[size] = node.parent, probabilities[size] = node.probability;
    ++size;
    if (node.level < depth && size < budget) expand(size - 1, node.probability, node.level + 1);
  }
  return size;
}

// Fills tokens with the likeliest path and returns its length.
extern "C" int32_t trigram_likeliest(const Table* shared, const Table* own, const TextIndex* index, const int32_t* ids,
                                     int64_t count, int32_t length, double min_probability, int32_t* tokens) {
  const Table* const tables[2] = {shared, own};
  Last last = last_tokens(ids, count);
  Shares found;
  double probability = 1;
  int32_t size = 0;
  for (; size < length; ++size) {
    distribution(tables, last, &found);
    recall(*own, *index, last, &found);
    believe(*own, last, &found);
    if (found.empty()) break;
    const Share best = *std::min_element(found.begin(), found.end(), [](const Share& a, const Share& b) {
      return a.value != b.value ? a.value > b.value : a.token < b.token;
    });
    probability *= best.value;
    if (probability < min_probability || probability <= 0) break;
    tokens[size] = best.token;
    std::copy(last.begin() + 1, last.end(), last.begin());
    last[kReach - 1] = best.token;
  }
  return size;
}

// The same by ADED's search.
extern "C" int32_t trigram_search(const Table* shared, const Table* own, int32_t first, int32_t second, int32_t budget,
                                  int32_t* tokens, int32_t* parents, double* probabilities) {
  return Search(*shared, *own, first, second).run(budget, tokens, parents, probabilities);
}
