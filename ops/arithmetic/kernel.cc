// Multiplies and adds in registers as fast as all threads can, to know what the products of a step cost at least.
#include <cstdint>

#include "../lora_linear/pairs.h"
#include "../parallel.h"
#include "../vec.h"

namespace mindcold::linear {

constexpr int kChains = 12;  // enough to hide the latency of an addition

// Not inlined: the sums have all registers to themselves. Each starts at a value of its own: of equal chains the compiler
// would compute one.
template <class Add>
__attribute__((noinline)) float chains(int64_t steps, const Add& add) {
  Vec sums[kChains];
#pragma GCC unroll 16
  for (int n = 0; n < kChains; ++n) sums[n] = splat(static_cast<float>(n));
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 16
    for (int n = 0; n < kChains; ++n) sums[n] = add(sums[n]);
  }
  Vec all{};
  for (int n = 0; n < kChains; ++n) all += sums[n];
  return sum(all);
}

}  // namespace mindcold::linear

// Floating-point operations that were done in `steps` steps of every thread: products of bfloat16, else of float32.
extern "C" int64_t multiply_add(int64_t steps, int64_t bfloat16, float* result) {
  using namespace mindcold;
  const int64_t threads = Pool::get().threads(), pieces = 8 * threads;
  std::vector<float> sums(pieces);
  Pool::get().run(pieces, [&](int64_t i) {
    if (bfloat16) {
      const linear::Pair x = linear::pair_of(*result, *result);
      const Bits weights = reinterpret_cast<Bits>(splat(*result));
      sums[i] = linear::chains(steps, [&](Vec sum) { return linear::add_pair(sum, weights, x); });
    } else {
      const Vec x = splat(*result);
      sums[i] = linear::chains(steps, [&](Vec sum) { return fma(x, x, sum); });
    }
  });
  for (const float value : sums) *result += value;  // so that nothing is left out
  return pieces * steps * linear::kChains * kLanes * (bfloat16 ? 4 : 2);
}
