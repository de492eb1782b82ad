// contrastive_score on CPU: one pass for the maximum, one for scores and choice, one for the log-probability.
// The contract is reference.py; inputs expert, base [P, V], alpha_beta [P, 2]; outputs scores [P, V], token, logprob [P].
#include <cmath>
#include <cstdint>
#include <limits>

#include "../exp.h"
#include "../parallel.h"

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int64_t kLanes = 16;

float row_max(const float* x, int64_t n) {
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
double exp_sum(const float* x, int64_t n, float best) {
  constexpr int64_t kBlock = 4096;
  double total = 0;
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t end = start + kBlock < n ? start + kBlock : n;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = start; i < end; ++i) {
      const float gap = x[i] == best ? 0.0f : x[i] - best;
      const float weight = mindcold::exp_nonpositive(gap);
      sum += gap < -87.0f ? 0.0f : weight;
    }
    total += sum;
  }
  return total;
}

void score_row(const float* expert, const float* base, float alpha, float beta, int64_t n, float* scores,
               int32_t* token, float* logprob) {
  const float cutoff = row_max(expert, n) + static_cast<float>(std::log(static_cast<double>(alpha)));
  if (beta == 0.0f) {
    for (int64_t i = 0; i < n; ++i) scores[i] = expert[i] >= cutoff ? expert[i] : -kInf;
  } else {
    for (int64_t i = 0; i < n; ++i) {
      const float value = expert[i] + beta * (expert[i] - base[i]);
      const bool stays = (expert[i] >= cutoff) & (expert[i] > -kInf);
      scores[i] = stays ? value : -kInf;
    }
  }
  const float best = row_max(scores, n);
  int64_t first = 0;
  while (first < n && scores[first] != best) ++first;  // the lowest id among ties
  *token = static_cast<int32_t>(first < n ? first : 0);
  *logprob = best == -kInf ? -kInf : static_cast<float>(-std::log(exp_sum(scores, n, best)));
}

}  // namespace

extern "C" int contrastive_score(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (count != 6) return 1;
  const auto* expert = static_cast<const float*>(params[0]);
  const auto* base = static_cast<const float*>(params[1]);
  const auto* alpha_beta = static_cast<const float*>(params[2]);
  auto* scores = static_cast<float*>(params[3]);
  auto* token = static_cast<int32_t*>(params[4]);
  auto* logprob = static_cast<float*>(params[5]);
  const int64_t rows = shapes[0][0], n = shapes[0][1];
  int64_t real = 0;
  for (int64_t r = 0; r < rows; ++r) real += alpha_beta[2 * r] >= 0;  // the rest is padding
  const auto row = [&](int64_t r) {
    if (alpha_beta[2 * r] < 0) return;
    score_row(expert + r * n, base + r * n, alpha_beta[2 * r], alpha_beta[2 * r + 1], n, scores + r * n, token + r,
              logprob + r);
  };
  if (real * n < 65536) {  // not worth a second thread
    for (int64_t r = 0; r < rows; ++r) row(r);
  } else {
    mindcold::Pool::get().run(rows, row);
  }
  return 0;
}
