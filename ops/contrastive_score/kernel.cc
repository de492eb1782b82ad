// contrastive_score on CPU. The contract is reference.py; inputs expert, base [P, V] (or one tensor [2 P, V] given
// twice: the experts, then their amateurs), alpha_beta [P, 2] and, or not, allowed int8 [P, V]; outputs scores [P, V],
// token, logprob [P] and, or not, the k best tokens and their logprobs [P, k]. Two passes over blocks of a row, shared
// among threads: the largest expert logit, then scores, choice and sum of exponentials. With a mask the first pass
// leaves the masked expert where the scores will be. The k best are looked for only in those stretches of a row whose
// maximum, which the choice needs anyway, reaches the k-th largest of all these maxima.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "../exp.h"
#include "../parallel.h"
#include "../vec.h"
#include "../trace.h"

namespace {

using mindcold::kLanes;
using mindcold::load;
using mindcold::splat;
using mindcold::store;
using mindcold::Vec;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int64_t kBlock = 8192;
constexpr int64_t kStretch = 256;

float highest(const float* x, int64_t n) {
  Vec even = splat(-kInf), odd = even;
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Vec a = load(x + i), b = load(x + i + kLanes);
    even = a > even ? a : even, odd = b > odd ? b : odd;
  }
  even = odd > even ? odd : even;
  float best = -kInf;
  for (int j = 0; j < kLanes; ++j) best = even[j] > best ? even[j] : best;
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

void forbid(const float* expert, const int8_t* allowed, int64_t n, float* masked) {
  for (int64_t i = 0; i < n; ++i) masked[i] = allowed[i] ? expert[i] : -kInf;
}

// exp(x - best); nothing for a token at -inf, one for a token equal to best (also if infinite).
template <class Float>
Float weight(Float x, Float best, Float zero) {
  const Float gap = x == best ? zero : x - best;
  const Float e = mindcold::exp_nonpositive(gap);
  return gap < zero - 87.0f ? zero : e;
}

float exp_sum(const float* x, int64_t n, float best) {
  Vec lanes{};
  const Vec top = splat(best), low = splat(best - 87.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec value = load(x + i);
    if (mindcold::any(value >= low)) lanes += weight(value, top, Vec{});  // most tokens are masked
  }
  float sum = mindcold::sum(lanes);
  for (; i < n; ++i) sum += weight(x[i], best, 0.0f);
  return sum;
}

// What is known of one block of a row's scores.
struct Part {
  float best;
  int64_t first;  // the lowest id that has it
  double sum;     // of exp(score - best)
};

// One score, or a vector of them.
template <class Float>
Float contrast(Float expert, Float base, Float cutoff, float beta, Float masked) {
  const Float value = beta == 0.0f ? expert : expert + beta * (expert - base);
  return expert >= cutoff ? (expert > masked ? value : masked) : masked;
}

Part score_block(const float* expert, const float* base, float cutoff, float beta, int64_t begin, int64_t end,
                 float* scores, float* maxima) {
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
    store(scores + i, contrast(load(expert + i), load(base + i), splat(cutoff), beta, splat(-kInf)));
  }
  for (; i < end; ++i) scores[i] = contrast(expert[i], base[i], cutoff, beta, -kInf);
  float best = -kInf;
  for (i = begin; i < end; i += kStretch, ++maxima) {
    *maxima = highest(scores + i, std::min(kStretch, end - i));
    best = *maxima > best ? *maxima : best;
  }
  if (best == -kInf) return {best, begin, 0.0};
  return {best, std::find(scores + begin, scores + end, best) - scores, exp_sum(scores + begin, end - begin, best)};
}

// Token and log-probability of a row from its parts, in order; gives the logarithm of the sum of exponentials.
double choose(const Part* parts, int64_t count, int32_t* token, float* logprob) {
  Part all = parts[0];
  for (int64_t i = 1; i < count; ++i) {
    if (parts[i].best > all.best) all.best = parts[i].best, all.first = parts[i].first;
  }
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float gap = parts[i].best == all.best ? 0.0f : parts[i].best - all.best;
    sum += parts[i].sum * std::exp(static_cast<double>(gap));
  }
  *token = all.best == -kInf ? 0 : static_cast<int32_t>(all.first);
  *logprob = all.best == -kInf ? -kInf : static_cast<float>(-std::log(sum));
  return std::log(sum);
}

// The k best tokens of a row by falling score, the lowest id first of equals, and their log-probabilities.
void find_best(const float* scores, int64_t n, const float* maxima, double log_sum, int64_t k, int32_t* tokens,
               float* logprobs) {
  const int64_t stretches = (n + kStretch - 1) / kStretch;
  float bound = -kInf;  // k tokens at least reach it
  if (stretches >= k) {
    static thread_local std::vector<float> order;
    order.assign(maxima, maxima + stretches);
    std::nth_element(order.begin(), order.begin() + (k - 1), order.end(), std::greater<float>());
    bound = order[k - 1];
  }
  static thread_local std::vector<float> values;
  values.resize(k);
  int64_t count = 0;
  const auto offer = [&](int64_t i) {
    const float value = scores[i];
    if (value == -kInf || value < bound || (count == k && !(value > values[k - 1]))) return;
    int64_t place = count < k ? count++ : k - 1;
    for (; place > 0 && value > values[place - 1]; --place) {
      values[place] = values[place - 1], tokens[place] = tokens[place - 1];
    }
    values[place] = value, tokens[place] = static_cast<int32_t>(i);
  };
  for (int64_t s = 0; s < stretches; ++s) {
    if (maxima[s] < bound) continue;
    const int64_t end = std::min(n, (s + 1) * kStretch);
    int64_t i = s * kStretch;
    for (; i + kLanes <= end; i += kLanes) {
      if (!mindcold::any(load(scores + i) >= splat(bound))) continue;
      for (int64_t j = i; j < i + kLanes; ++j) offer(j);
    }
    for (; i < end; ++i) offer(i);
  }
  for (int64_t i = 0; i < k; ++i) {
    if (i >= count) tokens[i] = -1;
    const double gap = i < count && values[i] != values[0] ? static_cast<double>(values[i]) - values[0] : 0.0;
    logprobs[i] = i < count ? static_cast<float>(gap - log_sum) : -kInf;
  }
}

bool finite(const float* x, int64_t n) {
  Vec lanes{};  // zero, or NaN from then on
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) lanes += load(x + i) - load(x + i);
  float rest = mindcold::sum(lanes);
  for (; i < n; ++i) rest += x[i] - x[i];
  return rest == 0.0f;
}

}  // namespace

extern "C" int contrastive_score(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  mindcold::Span span("contrastive_score");
  if (count < 6 || count > 9) return 1;
  const bool masked = count % 2 == 1;
  const int first = masked ? 4 : 3;  // of the outputs
  const auto* alpha_beta = static_cast<const float*>(params[2]);
  const auto* allowed = masked ? static_cast<const int8_t*>(params[3]) : nullptr;
  auto* scores = static_cast<float*>(params[first]);
  auto* token = static_cast<int32_t*>(params[first + 1]);
  auto* logprob = static_cast<float*>(params[first + 2]);
  auto* tokens = count > 7 ? static_cast<int32_t*>(params[first + 3]) : nullptr;
  auto* logprobs = count > 7 ? static_cast<float*>(params[first + 4]) : nullptr;
  const int64_t rows = shapes[2][0], n = shapes[0][1], blocks = (n + kBlock - 1) / kBlock;
  const int64_t stretches = (n + kStretch - 1) / kStretch, k = tokens ? shapes[first + 3][1] : 0;
  const auto* given = static_cast<const float*>(params[0]);
  const auto* base = shapes[0][0] == rows ? static_cast<const float*>(params[1]) : given + rows * n;
  const float* expert = allowed ? scores : given;
  std::vector<int64_t> real;  // the rest is padding
  for (int64_t r = 0; r < rows; ++r) {
    if (alpha_beta[2 * r] >= 0) real.push_back(r);
  }
  const int64_t tasks = static_cast<int64_t>(real.size()) * blocks;
  std::vector<float> best(tasks);
  std::vector<Part> parts(tasks);
  std::vector<float> maxima(real.size() * stretches);
  const auto find = [&](int64_t i) {
    const int64_t begin = i % blocks * kBlock;
    const int64_t at = real[i / blocks] * n + begin, size = std::min(kBlock, n - begin);
    if (allowed) forbid(given + at, allowed + at, size, scores + at);
    best[i] = highest(expert + at, size);
  };
  const auto score = [&](int64_t i) {
    const int64_t r = real[i / blocks], begin = i % blocks * kBlock, row = i / blocks * blocks;
    const float top = *std::max_element(&best[row], &best[row] + blocks);
    const float cutoff = top + static_cast<float>(std::log(static_cast<double>(alpha_beta[2 * r])));
    const float beta = alpha_beta[2 * r + 1];
    const float* amateur = (beta == 0 ? expert : base) + r * n;  // what is not needed is not read
    parts[i] = score_block(expert + r * n, amateur, cutoff, beta, begin, std::min(n, begin + kBlock), scores + r * n,
                           &maxima[i / blocks * stretches + begin / kStretch]);
  };
  const auto finish = [&](int64_t i) {
    const int64_t r = real[i];
    const double log_sum = choose(&parts[i * blocks], blocks, token + r, logprob + r);
    if (k) find_best(scores + r * n, n, &maxima[i * stretches], log_sum, k, tokens + r * k, logprobs + r * k);
  };
  if (tasks < 4) {  // not worth a second thread
    for (int64_t i = 0; i < tasks; ++i) find(i);
    for (int64_t i = 0; i < tasks; ++i) score(i);
  } else {
    mindcold::Pool::get().run(tasks, find);
    mindcold::Pool::get().run(tasks, score);
  }
  for (size_t i = 0; i < real.size(); ++i) finish(static_cast<int64_t>(i));
  return 0;
}

// logprob [P], expert and base as above, alpha_beta -> logprob, NaN where a logit that is read is NaN or infinite.
extern "C" int finite_logits(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  mindcold::Span span("finite_logits");
  if (count != 5) return 1;
  const int64_t rows = shapes[0][0], n = shapes[1][1];
  const auto* logprob = static_cast<const float*>(params[0]);
  const auto* expert = static_cast<const float*>(params[1]);
  const auto* base = shapes[1][0] == rows ? static_cast<const float*>(params[2]) : expert + rows * n;
  const auto* alpha_beta = static_cast<const float*>(params[3]);
  auto* out = static_cast<float*>(params[4]);
  const auto check = [&](int64_t r) {
    const float alpha = alpha_beta[2 * r], beta = alpha_beta[2 * r + 1];
    const bool right = alpha < 0 || (finite(expert + r * n, n) && (beta == 0 || finite(base + r * n, n)));
    out[r] = right ? logprob[r] : std::numeric_limits<float>::quiet_NaN();
  };
  int64_t real = 0;
  for (int64_t r = 0; r < rows; ++r) real += alpha_beta[2 * r] >= 0;
  if (real * n < 65536) {  // not worth a second thread
    for (int64_t r = 0; r < rows; ++r) check(r);
  } else {
    mindcold::Pool::get().run(rows, check);
  }
  return 0;
}
