// trigram_draft on CPU. The contract is reference.py, and the arithmetic is its own, in double precision and in its order.
#include <algorithm>
#include <cstdint>
#include <queue>
#include <utility>
#include <vector>

// keys [n, 4, 2], tokens, weights [n, 4, 12], and n.
struct Table {
  int32_t* keys;
  int32_t* tokens;
  float* weights;
  int64_t buckets;
};

namespace {

constexpr int64_t kWays = 4;
constexpr int64_t kSuccessors = 12;
constexpr int32_t kNone = -1;

struct Context {
  int32_t first, second;
};

int64_t bucket_of(Context c, int64_t buckets) {
  uint32_t mixed = static_cast<uint32_t>(c.first) * 0x9E3779B1u + static_cast<uint32_t>(c.second) * 0x85EBCA77u +
                   0x27D4EB2Fu;
  mixed = (mixed ^ (mixed >> 15)) * 0x2C1B3C6Du;
  return (mixed ^ (mixed >> 13)) % static_cast<uint64_t>(buckets);
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

void bump(const Table& t, Context c, int32_t token, float amount, float cap) {
  int64_t entry = find(t, c);
  if (entry < 0) {
    entry = lightest(t, bucket_of(c, t.buckets));
    t.keys[2 * entry] = c.first, t.keys[2 * entry + 1] = c.second;
    std::fill_n(t.tokens + entry * kSuccessors, kSuccessors, kNone);
    std::fill_n(t.weights + entry * kSuccessors, kSuccessors, 0.0f);
  }
  int32_t* tokens = t.tokens + entry * kSuccessors;
  float* weights = t.weights + entry * kSuccessors;
  int64_t i = std::find(tokens, tokens + kSuccessors, token) - tokens;
  if (i == kSuccessors) {
    i = std::min_element(weights, weights + kSuccessors) - weights;
    tokens[i] = token, weights[i] = 0;
  }
  weights[i] = std::min(cap, weights[i] + amount);
}

using Shares = std::vector<std::pair<int32_t, double>>;

void add(Shares* shares, int32_t token, double value) {
  for (auto& item : *shares) {
    if (item.first == token) {
      item.second += value;
      return;
    }
  }
  shares->emplace_back(token, value);
}

void distribution(const std::vector<Table>& tables, int32_t first, int32_t second, Shares* found) {
  found->clear();
  double left = 1;
  Shares weights;
  for (const Context c : {Context{first, second}, Context{kNone, second}, Context{kNone, kNone}}) {
    weights.clear();
    for (const Table& t : tables) {
      const int64_t entry = find(t, c);
      if (entry < 0) continue;
      for (int64_t i = entry * kSuccessors; i < (entry + 1) * kSuccessors; ++i) {
        if (t.weights[i] > 0) add(&weights, t.tokens[i], t.weights[i]);
      }
    }
    double total = 0;
    for (const auto& item : weights) total += item.second;
    if (total <= 0) continue;
    const double share = left * total / (total + 0.25);
    for (const auto& item : weights) add(found, item.first, share * item.second / total);
    left -= share;
  }
}

struct Node {
  double odds;
  int64_t number;  // order of discovery
  int32_t before, token, parent, level;
  bool operator<(const Node& other) const {
    return odds != other.odds ? odds < other.odds : number > other.number;
  }
};

}  // namespace

extern "C" void trigram_update(const Table* table, const int32_t* ids, int64_t count, int64_t start, float amount,
                               float cap) {
  for (int64_t i = start; i < count; ++i) {
    if (i >= 2) bump(*table, {ids[i - 2], ids[i - 1]}, ids[i], amount, cap);
    if (i >= 1) bump(*table, {kNone, ids[i - 1]}, ids[i], amount, cap);
    bump(*table, {kNone, kNone}, ids[i], amount, cap);
  }
}

// Fills tokens, parents and odds with at most `budget` nodes and returns how many.
extern "C" int32_t trigram_draft(const Table* shared, const Table* own, int32_t first, int32_t second,
                                 int32_t budget, int32_t depth, double floor, int32_t* tokens, int32_t* parents,
                                 double* odds) {
  const std::vector<Table> tables{*shared, *own};
  std::priority_queue<Node> open;
  Shares found;
  int64_t discovered = 0;
  const auto expand = [&](int32_t before, int32_t last, int32_t parent, double probability, int32_t level) {
    distribution(tables, before, last, &found);
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    for (const auto& item : found) {
      if (probability * item.second < floor) continue;
      open.push({probability * item.second, discovered++, last, item.first, parent, level});
    }
  };
  int32_t size = 0;
  expand(first, second, -1, 1.0, 1);
  while (!open.empty() && size < budget) {
    const Node node = open.top();
    open.pop();
    tokens[size] = node.token, parents[size] = node.parent, odds[size] = node.odds;
    ++size;
    if (node.level < depth) expand(node.before, node.token, size - 1, node.odds, node.level + 1);
  }
  return size;
}
