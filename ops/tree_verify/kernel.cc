// tree_verify on CPU. The contract is reference.py.
#include <cstdint>

extern "C" int tree_verify(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (count != 4) return 1;
  const auto* chosen = static_cast<const int32_t*>(params[0]);
  const auto* tokens = static_cast<const int32_t*>(params[1]);
  const auto* parents = static_cast<const int32_t*>(params[2]);
  const int64_t heads = shapes[0][0];
  auto* choice = static_cast<int32_t*>(params[3]);
  int32_t *follow = choice + heads, *last = follow + heads, *length = last + heads;
  for (int64_t i = 0; i < heads; ++i) {
    choice[i] = chosen[i];
    follow[i] = -1;
  }
  // children come after their parents: the first of several is met last, and what is below a head is known before it
  for (int64_t i = heads - 1; i >= 0; --i) {
    const int32_t child = follow[i], parent = parents[i];
    last[i] = child < 0 ? static_cast<int32_t>(i) : last[child];
    length[i] = child < 0 ? 0 : length[child] + 1;
    if (parent >= 0 && parent < i && tokens[i] == chosen[parent]) follow[parent] = static_cast<int32_t>(i);
  }
  return 0;
}
