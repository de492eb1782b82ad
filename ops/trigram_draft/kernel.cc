// trigram_draft on CPU. The contract is reference.py, and the arithmetic is its own, in double precision and in its order.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

// keys [n, 4, 2], tokens, weights [n, 4, 12], recalls [8, 3, 9, 2], and n.
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
constexpr int32_t kNone = -1;

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

constexpr int kReach = 8;

// The last eight tokens, -1 for one that is not there.
using Last = std::array<int32_t, kReach>;

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

// The entry of a bucket that weighs least; sums as NumPy takes them over twelve values: eight lanes, then the rest.
int64_t lightest(const Table& t, int64_t bucket) {
  int64_t best = -1;
  float least = 0;
  for (int64_t entry = bucket * kWays; entry < (bucket + 1) * kWays; ++entry) {
    const float* w = t.weights + entry * kSuccessors;
    float total = ((w[0] + w[1]) + (w[2] + w[3])) + ((w[4] + w[5]) + (w[6] + w[7]));
    for (int64_t i = 8; i < kSuccessors; ++i) total += w[i];
    if (best < 0 || total < least) best = entry, least = total;
  }
  return best;
}

void bump(const Table& t, Context c, int32_t token, float amount, float cap, float keep) {
  int64_t entry = find(t, c);
  if (entry < 0) {
    entry = lightest(t, bucket_of(c, t.buckets));
    t.keys[2 * entry] = c.first, t.keys[2 * entry + 1] = c.second;
    std::fill_n(t.tokens + entry * kSuccessors, kSuccessors, kNone);
    std::fill_n(t.weights + entry * kSuccessors, kSuccessors, 0.0f);
  }
  int32_t* tokens = t.tokens + entry * kSuccessors;
  float* weights = t.weights + entry * kSuccessors;
  for (int64_t j = 0; j < kSuccessors; ++j) weights[j] *= keep;
  int64_t i = std::find(tokens, tokens + kSuccessors, token) - tokens;
  if (i == kSuccessors) {
    i = std::min_element(weights, weights + kSuccessors) - weights;
    tokens[i] = token, weights[i] = 0;
  }
  weights[i] = std::min(cap, weights[i] + amount);
}

struct Share {
  int32_t token;
  double value;
};

// Tokens and their shares, in the order they were found; room for all contexts of two tables and what is recalled.
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
  Share items_[kContexts * 2 * kSuccessors + 3];
  int64_t count_ = 0;
};

void distribution(const Table* const (&tables)[2], const Last& last, double least, Shares* found) {
  found->clear();
  double left = 1;
  Context known[kContexts];
  const int count = contexts(last, known);
  for (int k = 0; k < count && left >= least; ++k) {
    Shares weights;
    for (const Table* t : tables) weights.add(*t, known[k]);
    const double total = weights.sum();
    if (total <= 0) continue;
    const double share = left * total / (total + (known[k].first < -2 ? 0.5 : 0.25));
    for (const Share& item : weights) found->add(item.token, share * item.value / total);
    left -= share;
  }
}

constexpr int64_t kRanks = 3;
constexpr int64_t kWindow = 256;
constexpr double kRecallKeep = 0.99;
constexpr std::array<double, 8> kBounds{0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95};

// What followed the same tokens earlier in a text.
struct Matches {
  int64_t agree = 0, count = 0;
  int32_t tokens[kRanks];
};

Matches matches(const int32_t* ids, int64_t size) {
  Matches out;
  const int64_t end = size - 1;
  for (int64_t place = end - 1; place > std::max<int64_t>(-1, end - 1 - kWindow); --place) {
    int64_t length = 0;
    while (length < kReach && length <= place && ids[place - length] == ids[end - length]) ++length;
    if (length == 0 || length < out.agree) continue;
    const int32_t token = ids[place + 1];
    if (length > out.agree) {
      out.agree = length, out.count = 1, out.tokens[0] = token;
    } else if (out.count < kRanks && std::find(out.tokens, out.tokens + out.count, token) == out.tokens + out.count) {
      out.tokens[out.count++] = token;
    }
  }
  return out;
}

// Hits and trials of a recalled token.
double* counts_of(const Table& t, const Matches& m, int64_t rank, double probability) {
  int64_t kind = 0;
  for (const double bound : kBounds) kind += probability >= bound;
  const int64_t kinds = kBounds.size() + 1;
  return t.recalls + 2 * (((m.agree - 1) * kRanks + rank) * kinds + kind);
}

// Gives recalled tokens the share of times that such ones were right.
void recall(const Table& t, const int32_t* ids, int64_t size, Shares* found) {
  const Matches m = matches(ids, size);
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

Last last_tokens(const int32_t* ids, int64_t size) {
  Last last;
  for (int64_t j = 0; j < kReach; ++j) last[j] = size - kReach + j >= 0 ? ids[size - kReach + j] : kNone;
  return last;
}

struct Guess {
  double odds;
  int64_t number;  // order of discovery
  int32_t token, parent, level;
  bool operator<(const Guess& other) const {
    return odds != other.odds ? odds < other.odds : number > other.number;
  }
};

// ADED's search, see mcts.py.
class Search {
 public:
  Search(const Table& shared, const Table& own, int32_t first, int32_t second)
      : tables_{shared, own},
        nodes_{{first, second, -1, 1, 1.0}},
        state_(static_cast<uint64_t>(static_cast<uint32_t>(first)) << 32 | static_cast<uint32_t>(second)) {}

  int32_t run(int32_t budget, int32_t* tokens, int32_t* parents, double* odds) {
    for (int i = 0; i < 150; ++i) iterate();
    return tree(budget, tokens, parents, odds);
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

  int32_t tree(int32_t budget, int32_t* tokens, int32_t* parents, double* odds) {
    struct Place {
      double odds;
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
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return trie[a].odds > trie[b].odds; });
    const int32_t size = std::min<int32_t>(budget, static_cast<int32_t>(order.size()));
    std::vector<int32_t> rank(trie.size(), -1);
    for (int32_t i = 0; i < size; ++i) {
      const Place& place = trie[order[i]];
      rank[order[i]] = i;
      tokens[i] = place.token, odds[i] = place.odds;
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

extern "C" void trigram_update(const Table* table, const int32_t* ids, int64_t count, int64_t start, float amount,
                               float cap, float keep) {
  for (int64_t i = start; i < count; ++i) {
    const Last last = last_tokens(ids, i);
    Context known[kContexts];
    const int contexts_of = contexts(last, known);
    for (int k = 0; k < contexts_of; ++k) bump(*table, known[k], ids[i], amount, cap, keep);
  }
}

// Counts, in the own table, what recalls would have been right from `start` on.
extern "C" void trigram_weigh(const Table* shared, const Table* own, const int32_t* ids, int64_t count, int64_t start) {
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

// Fills tokens, parents and odds with at most `budget` nodes and returns how many.
extern "C" int32_t trigram_draft(const Table* shared, const Table* own, const int32_t* ids, int64_t count,
                                 int32_t budget, int32_t depth, double floor, int32_t* tokens, int32_t* parents,
                                 double* odds) {
  const Table* const tables[2] = {shared, own};
  static thread_local std::vector<Guess> open;    // a heap
  static thread_local std::vector<int32_t> text;  // as much of the text as matters, and a path behind it
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
    const Guess node = open.front();
    std::pop_heap(open.begin(), open.end());
    open.pop_back();
    tokens[size] = node.token, parents[size] = node.parent, odds[size] = node.odds;
    ++size;
    if (node.level < depth && size < budget) expand(size - 1, node.odds, node.level + 1);
  }
  return size;
}

// Fills tokens with the likeliest path and returns its length.
extern "C" int32_t trigram_likeliest(const Table* shared, const Table* own, const int32_t* ids, int64_t count,
                                     int32_t length, double least, int32_t* tokens) {
  const Table* const tables[2] = {shared, own};
  const int64_t known = std::min<int64_t>(count, kWindow + kReach);
  std::vector<int32_t> text(ids + count - known, ids + count);
  Shares found;
  double probability = 1;
  int32_t size = 0;
  for (; size < length; ++size) {
    const int64_t end = static_cast<int64_t>(text.size());
    distribution(tables, last_tokens(text.data(), end), least / probability, &found);
    recall(*own, text.data(), end, &found);
    if (found.empty()) break;
    const Share best = *std::min_element(found.begin(), found.end(), [](const Share& a, const Share& b) {
      return a.value != b.value ? a.value > b.value : a.token < b.token;
    });
    probability *= best.value;
    if (probability < least || probability <= 0) break;
    tokens[size] = best.token;
    text.push_back(best.token);
  }
  return size;
}

// The same by ADED's search.
extern "C" int32_t trigram_search(const Table* shared, const Table* own, int32_t first, int32_t second, int32_t budget,
                                  int32_t* tokens, int32_t* parents, double* odds) {
  return Search(*shared, *own, first, second).run(budget, tokens, parents, odds);
}
