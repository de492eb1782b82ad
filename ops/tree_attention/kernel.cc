// tree_attention on CPU. The contract is reference.py; inputs q [R, H, D], k, v [R, KV, D], k_cache, v_cache [N, KV, D]
// in float32 or bfloat16 (changed in place), rows int32 [11, R], window int32 [1]; output [R, H, D].
#include "attention.h"

#include "../trace.h"

namespace {

template <class Cache>
int attend(void** params, int64_t** shapes) {
  const auto in = [&](int i) { return static_cast<const float*>(params[i]); };
  const auto cache = [&](int i) { return static_cast<Cache*>(params[i]); };
  mindcold::attention::apply<Cache>({in(0), in(1), in(2), cache(3), cache(4), static_cast<float*>(params[7]),
                                     static_cast<const int32_t*>(params[5]), shapes[0][0], shapes[0][1], shapes[1][1],
                                     shapes[0][2], static_cast<const int32_t*>(params[6])[0]});
  return 0;
}

}  // namespace

extern "C" int tree_attention(int count, void** params, int*, int64_t** shapes, const char** dtypes, void*, void*) {
  mindcold::Span span("attention");
  if (count != 8 || shapes[5][0] != mindcold::kLines) return 1;
  return std::strcmp(dtypes[3], "float32") == 0 ? attend<float>(params, shapes) : attend<uint16_t>(params, shapes);
}
