// tree_verify on CPU. The contract is reference.py.
#include <cstdint>

#include "../trace.h"

extern "C" int tree_verify(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  mindcold::Span span("tree_verify");
  if (count != 4) return 1;
  const auto* chosen = static_cast<const int32_t*>(params[0]);
  const auto* tokens = static_cast<const int32_t*>(params[1]);
  const auto* parents = static_cast<const int32_t*>(params[2]);
  const int64_t heads = shapes[0][0];
  auto* accepted = static_cast<int32_t*>(params[3]);
  for (int64_t i = 0; i < heads; ++i) accepted[i] = -1;
  for (int64_t i = heads - 1; i >= 0; --i) {  // backwards, so that the first of several children is the last to be set
    const int32_t parent = parents[i];
    if (parent >= 0 && parent < i && tokens[i] == chosen[parent]) accepted[parent] = static_cast<int32_t>(i);
  }
  return 0;
}
