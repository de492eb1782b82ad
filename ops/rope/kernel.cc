// rope on CPU: qkv [R, (H + 2 KV) D], cos, sin [R, D / 2], adapter int32 [R], norms [1 + 2 D] (epsilon, of q, of
// k) or [1] -> q [R, H, D], k [R, KV, D], v [R, KV, D]. The contract is reference.py.
#include "rope.h"

#include "../trace.h"

extern "C" int rope(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  mindcold::Span span("rope");
  if (count != 8) return 1;
  const mindcold::rope::Shape shape{shapes[5][1], shapes[6][1], shapes[5][2]};
  const auto in = [&](int i) { return static_cast<const float*>(params[i]); };
  const auto out = [&](int i) { return static_cast<float*>(params[i]); };
  mindcold::rope::apply(shape, in(0), in(1), in(2), static_cast<const int32_t*>(params[3]), shapes[0][0], in(4),
                        shapes[4][0] > 1, out(5), out(6), out(7));
  return 0;
}
