// ADED's search; the contract is mcts.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "table.h"

namespace {

class Search {
 public:
  Search(const Table& shared, const Table& own, int32_t first, int32_t second)
      : tables_{shared, own},
        nodes_{{first, second, -1, 1, 1.0}},
        state_(static_cast<uint64_t>(static_cast<uint32_t>(first)) << 32 | static_cast<uint32_t>(second)) {}

  int32_t run(int32_t budget, int32_t* tokens, int32_t* parents, double* probabilities) {
    for (int i = 0; i < 150; ++i) iterate();
    return tree(budget, tokens, parents, probabilities);
  }

 private:
  static constexpr int32_t kLength = 4;
  static constexpr size_t kKept = 24;

  struct Node {
    int32_t before, last, parent, level;
    double prior;
    int64_t visits = 0;
    double total = 0;
    int32_t children = 0, count = 0;  // the first, and how many
  };

  double random() {
    state_ += 0x9E3779B97F4A7C15ull;
    uint64_t mixed = (state_ ^ (state_ >> 30)) * 0xBF58476D1CE4E5B9ull;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
    return static_cast<double>((mixed ^ (mixed >> 31)) >> 11) / 9007199254740992.0;
  }

  const Shares& successors(int32_t before, int32_t last) {
    found_.clear();
    for (const Table& t : tables_) found_.add(t, {before, last});
    return found_;
  }

  static double puct(const Node& node, const Node& parent) {
    if (node.visits == 0) return std::numeric_limits<double>::infinity();
    const double explore = 32.0 + std::log((static_cast<double>(parent.visits) + 8.0 + 1.0) / 8.0);
    return node.total / static_cast<double>(node.visits) +
           explore * node.prior * std::sqrt(static_cast<double>(parent.visits)) /
               (1.0 + static_cast<double>(node.visits));
  }

  void iterate() {
    int32_t at = 0;
    while (nodes_[at].count > 0 && nodes_[at].level < kLength) {
      int32_t best = -1;
      double value = 0;
      for (int32_t i = 0; i < nodes_[at].count; ++i) {
        const double score = puct(nodes_[nodes_[at].children + i], nodes_[at]);
        if (score > value) best = nodes_[at].children + i, value = score;
      }
      at = best;
    }
    if (nodes_[at].level < kLength) {
      const Node node = nodes_[at];
      const Shares& items = successors(node.before, node.last);
      nodes_[at].children = static_cast<int32_t>(nodes_.size());
      nodes_[at].count = static_cast<int32_t>(items.end() - items.begin());
      for (const Share& item : items) nodes_.push_back({node.last, item.token, at, node.level + 1, item.value});
      if (nodes_[at].count > 0) at = static_cast<int32_t>(nodes_.size()) - 1;
    }
    const double reward = rollout(at);
    for (; at >= 0; at = nodes_[at].parent) nodes_[at].visits += 1, nodes_[at].total += reward;
  }

  double rollout(int32_t at) {
    std::vector<Context> path;
    for (int32_t i = at; i >= 0; i = nodes_[i].parent) path.insert(path.begin(), {nodes_[i].before, nodes_[i].last});
    while (static_cast<int32_t>(path.size()) < kLength) {
      const Shares& items = successors(path.back().first, path.back().second);
      if (items.empty()) break;
      double left = random() * items.sum();
      int32_t chosen = (items.end() - 1)->token;
      for (const Share& item : items) {
        left -= item.value;
        if (left < 0) {
          chosen = item.token;
          break;
        }
      }
      path.push_back({path.back().second, chosen});
    }
    double reward = 1;
    for (size_t i = 0; i + 1 < path.size(); ++i) {
      reward += successors(path[i].first, path[i].second).of(path[i].second);
    }
    return reward;
  }

  int32_t tree(int32_t budget, int32_t* tokens, int32_t* parents, double* probabilities) {
    struct Place {
      double probability;
      int32_t token, parent;
    };
    std::vector<Place> trie;
    std::vector<int32_t> order(nodes_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return nodes_[a].visits > nodes_[b].visits; });
    order.resize(std::min(order.size(), kKept));
    for (const int32_t number : order) {
      if (nodes_[number].level < 2) continue;
      std::vector<int32_t> path;
      for (int32_t i = number; i > 0; i = nodes_[i].parent) path.insert(path.begin(), nodes_[i].last);
      const Shares& further = successors(nodes_[number].before, nodes_[number].last);
      if (!further.empty()) {
        path.push_back(std::max_element(further.begin(), further.end(), [](const Share& a, const Share& b) {
                         return a.value < b.value;
                       })->token);
      }
      Context context{nodes_[0].before, nodes_[0].last};
      int32_t parent = -1;
      double chance = 1;
      for (const int32_t token : path) {
        const Shares& items = successors(context.first, context.second);
        chance *= items.of(token) / items.sum();
        size_t place = 0;
        while (place < trie.size() && (trie[place].parent != parent || trie[place].token != token)) ++place;
        if (place == trie.size()) trie.push_back({chance, token, parent});
        parent = static_cast<int32_t>(place);
        context = {context.second, token};
      }
    }
    order.resize(trie.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return trie[a].probability > trie[b].probability; });
    const int32_t size = std::min<int32_t>(budget, static_cast<int32_t>(order.size()));
    std::vector<int32_t> rank(trie.size(), -1);
    for (int32_t i = 0; i < size; ++i) {
      const Place& place = trie[order[i]];
      rank[order[i]] = i;
      tokens[i] = place.token, probabilities[i] = place.probability;
      parents[i] = place.parent < 0 ? -1 : rank[place.parent];
    }
    return size;
  }

  std::vector<Table> tables_;
  std::vector<Node> nodes_;
  uint64_t state_;
  Shares found_;
};

}  // namespace
