// tree_attention on CPU. The contract is reference.py; inputs q [R, H, D], k, v [R, KV, D], k_cache, v_cache [N, KV, D]
// (changed in place), rows int32 [11, R], window int32 [1]; output [R, H, D].
#include "attention.h"

extern "C" int tree_attention(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (count != 8 || shapes[5][0] != mindcold::kLines) return 1;
  mindcold::attention::Step s;
  s.q = static_cast<const float*>(params[0]);
  s.k = static_cast<const float*>(params[1]);
  s.v = static_cast<const float*>(params[2]);
  s.k_cache = static_cast<float*>(params[3]);
  s.v_cache = static_cast<float*>(params[4]);
  s.out = static_cast<float*>(params[7]);
  s.rows = shapes[0][0], s.heads = shapes[0][1], s.size = shapes[0][2], s.kv_heads = shapes[1][1];
  s.window = static_cast<const int32_t*>(params[6])[0];
  s.lines = static_cast<const int32_t*>(params[5]);
  mindcold::attention::apply(s);
  return 0;
}
