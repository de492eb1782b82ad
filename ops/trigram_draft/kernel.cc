// trigram_draft on CPU. The contract is reference.py, table.py and recall.py, and the arithmetic is theirs, in double
// precision and in their order.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "mcts.h"
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

// Counts, in the own table, what recalls would have been right from `start` on.
extern "C" void trigram_calibrate(const Table* shared, const Table* own, const int32_t* ids, int64_t count, int64_t start) {
  const Table* const tables[2] = {shared, own};
  Shares found;
  for (int64_t i = std::max<int64_t>(1, start); i < count; ++i) {
    distribution(tables, last_tokens(ids, i), 0.0, &found);
    const Matches m = matches(ids, i);
    for (int64_t rank = 0; rank < m.count; ++rank) {
      double* counts = counts_of(*own, m, rank, found.of(m.tokens[rank]));
      counts[0] = counts[0] * kRecallKeep + (m.tokens[rank] == ids[i] ? 1.0 : 0.0);
      counts[1] = counts[1] * kRecallKeep + 1.0;
    }
  }
}

// Fills tokens, parents and probabilities with at most `budget` nodes and returns how many.
extern "C" int32_t trigram_draft(const Table* shared, const Table* own, const int32_t* ids, int64_t count,
                                 int32_t budget, int32_t depth, double floor, int32_t* tokens, int32_t* parents,
                                 double* probabilities) {
  const Table* const tables[2] = {shared, own};
  static thread_local std::vector<Candidate> open;    // a heap
  static thread_local std::vector<int32_t> text;  // as much of the text as matters, and a path after it
  open.clear();
  const int64_t known = std::min<int64_t>(count, kWindow + kReach);
  text.assign(ids + count - known, ids + count);
  Shares found;
  int64_t discovered = 0;
  const auto expand = [&](int32_t node, double probability, int32_t level) {
    text.resize(known + level - 1);
    for (int32_t at = node, i = level - 2; at >= 0; at = parents[at], --i) text[known + i] = tokens[at];
    const int64_t size = static_cast<int64_t>(text.size());
    distribution(tables, last_tokens(text.data(), size), floor / probability, &found);
    recall(*own, text.data(), size, &found);
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
extern "C" int32_t trigram_likeliest(const Table* shared, const Table* own, const int32_t* ids, int64_t count,
                                     int32_t length, double min_probability, int32_t* tokens) {
  const Table* const tables[2] = {shared, own};
  const int64_t known = std::min<int64_t>(count, kWindow + kReach);
  std::vector<int32_t> text(ids + count - known, ids + count);
  Shares found;
  double probability = 1;
  int32_t size = 0;
  for (; size < length; ++size) {
    const int64_t end = static_cast<int64_t>(text.size());
    distribution(tables, last_tokens(text.data(), end), min_probability / probability, &found);
    recall(*own, text.data(), end, &found);
    if (found.empty()) break;
    const Share best = *std::min_element(found.begin(), found.end(), [](const Share& a, const Share& b) {
      return a.value != b.value ? a.value > b.value : a.token < b.token;
    });
    probability *= best.value;
    if (probability < min_probability || probability <= 0) break;
    tokens[size] = best.token;
    text.push_back(best.token);
  }
  return size;
}

// The same by ADED's search.
extern "C" int32_t trigram_search(const Table* shared, const Table* own, int32_t first, int32_t second, int32_t budget,
                                  int32_t* tokens, int32_t* parents, double* probabilities) {
  return Search(*shared, *own, first, second).run(budget, tokens, parents, probabilities);
}
