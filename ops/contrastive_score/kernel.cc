// contrastive_score on CPU. The contract is reference.py; inputs expert, base [P, V] (or one tensor [2 P, V] given twice:
// the experts, then their amateurs), alpha_beta [P, 2]; outputs scores [P, V], token, logprob [P]. Two passes over blocks
// of a row, shared among threads: the largest expert logit, then scores, choice and sum of exponentials.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "../exp.h"
#include "../parallel.h"

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int64_t kLanes = 16;
constexpr int64_t kBlock = 8192;

float highest(const float* x, int64_t n) {
  float lane[kLanes];
  for (int64_t j = 0; j < kLanes; ++j) lane[j] = -kInf;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
  }
  float best = -kInf;
  for (int64_t j = 0; j < kLanes; ++j) best = lane[j] > best ? lane[j] : best;
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

// Sum of exp(x - best); tokens at -inf add nothing, tokens equal to best (also if infinite) add one.
float exp_sum(const float* x, int64_t n, float best) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    const float gap = x[i] == best ? 0.0f : x[i] - best;
    const float weight = mindcold::exp_nonpositive(gap);
    sum += gap < -87.0f ? 0.0f : weight;
  }
  return sum;
}

// What is known of one block of a row's scores.
struct Part {
  float best;
  int64_t first;  // the lowest id that has it
  double sum;     // of exp(score - best)
};

Part score_block(const float* expert, const float* base, float cutoff, float beta, int64_t begin, int64_t end,
                 float* scores) {
  if (beta == 0.0f) {
    for (int64_t i = begin; i < end; ++i) scores[i] = expert[i] >= cutoff ? expert[i] : -kInf;
  } else {
    for (int64_t i = begin; i < end; ++i) {
      const float value = expert[i] + beta * (expert[i] - base[i]);
      const bool stays = (expert[i] >= cutoff) & (expert[i] > -kInf);
      scores[i] = stays ? value : -kInf;
    }
  }
  const float best = highest(scores + begin, end - begin);
  if (best == -kInf) return {best, begin, 0.0};
  return {best, std::find(scores + begin, scores + end, best) - scores, exp_sum(scores + begin, end - begin, best)};
}

// Token and log-probability of a row from its parts, in order.
void choose(const Part* parts, int64_t count, int32_t* token, float* logprob) {
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
}

}  // namespace

extern "C" int contrastive_score(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (count != 6) return 1;
  const auto* alpha_beta = static_cast<const float*>(params[2]);
  auto* scores = static_cast<float*>(params[3]);
  auto* token = static_cast<int32_t*>(params[4]);
  auto* logprob = static_cast<float*>(params[5]);
  const int64_t rows = shapes[2][0], n = shapes[0][1], blocks = (n + kBlock - 1) / kBlock;
  const auto* expert = static_cast<const float*>(params[0]);
  const auto* base = shapes[0][0] == rows ? static_cast<const float*>(params[1]) : expert + rows * n;
  std::vector<int64_t> real;  // the rest is padding
  for (int64_t r = 0; r < rows; ++r) {
    if (alpha_beta[2 * r] >= 0) real.push_back(r);
  }
  const int64_t tasks = static_cast<int64_t>(real.size()) * blocks;
  std::vector<float> best(tasks);
  std::vector<Part> parts(tasks);
  const auto find = [&](int64_t i) {
    const int64_t begin = i % blocks * kBlock;
    best[i] = highest(expert + real[i / blocks] * n + begin, std::min(kBlock, n - begin));
  };
  const auto score = [&](int64_t i) {
    const int64_t r = real[i / blocks], begin = i % blocks * kBlock, row = i / blocks * blocks;
    const float top = *std::max_element(&best[row], &best[row] + blocks);
    const float cutoff = top + static_cast<float>(std::log(static_cast<double>(alpha_beta[2 * r])));
    parts[i] = score_block(expert + r * n, base + r * n, cutoff, alpha_beta[2 * r + 1], begin,
                           std::min(n, begin + kBlock), scores + r * n);
  };
  if (tasks < 4) {  // not worth a second thread
    for (int64_t i = 0; i < tasks; ++i) find(i);
    for (int64_t i = 0; i < tasks; ++i) score(i);
  } else {
    mindcold::Pool::get().run(tasks, find);
    mindcold::Pool::get().run(tasks, score);
  }
  for (size_t i = 0; i < real.size(); ++i) choose(&parts[i * blocks], blocks, token + real[i], logprob + real[i]);
  return 0;
}
