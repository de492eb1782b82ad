// lora_linear on CPU. The contract is reference.py; aot.py packs the operands:
//   x float32 [R, K]; weight float32 or int8 [P, K, 32] or uint16 (bfloat16) [P, ceil(K / 2), 64], panels of 32 outputs;
//   scale float32 [P * 32] or [1] for none; vectors float32: epsilon, norm [K] if any, bias [P * 32] if any; low_rank
//   float32: A [rank, K] and B [panels, rank, 32] of every pair; index int32: lengths of norm and bias, number of pairs,
//   adapter, rank, first panel and panels of each; adapter int32 [R]; residual float32 [R, N] or [1] for none; output y
//   float32 [R, N].
#include "../trace.h"
#include "linear.h"

namespace {

using mindcold::linear::Layer;
using mindcold::linear::type_of;

// The constant operands, from the weight on.
Layer layer_of(void** params, int64_t** shapes, const char** dtypes, int64_t inputs, int64_t outputs) {
  const auto* scale = static_cast<const float*>(params[1]);
  return {params[0], type_of(dtypes[0]), inputs, outputs, shapes[0][0], shapes[1][0] > 1 ? scale : nullptr, nullptr, 0, 0, {}};
}

}  // namespace

// number int32 [R], panels, scale -> those lines of the weight, float32 [R, K].
extern "C" int lookup(int count, void** params, int*, int64_t** shapes, const char** dtypes, void*, void*) {
  mindcold::Span span("embedding");
  if (count != 4) return 1;
  const auto* number = static_cast<const int32_t*>(params[0]);
  const int64_t inputs = shapes[3][1];
  const Layer layer = layer_of(params + 1, shapes + 1, dtypes + 1, inputs, 0);
  for (int64_t r = 0; r < shapes[0][0]; ++r) line(layer, number[r], static_cast<float*>(params[3]) + r * inputs);
  return 0;
}

extern "C" int lora_linear(int count, void** params, int* ndims, int64_t** shapes, const char** dtypes, void*, void*) {
  mindcold::Span span("lora_linear");
  if (count != 9) return 1;
  Layer layer = layer_of(params + 1, shapes + 1, dtypes + 1, shapes[0][1], shapes[8][1]);
  const auto* index = static_cast<const int32_t*>(params[5]);
  layer.vectors = static_cast<const float*>(params[3]), layer.norm_size = index[0], layer.bias_size = index[1];
  const auto* next = static_cast<const float*>(params[4]);
  for (int32_t i = 0; i < index[2]; ++i) {
    const int32_t* entry = index + 3 + 4 * i;
    mindcold::linear::LowRank pair{entry[0], entry[1], entry[2], entry[3], next, next + entry[1] * layer.inputs};
    next = pair.b + pair.panels * pair.rank * mindcold::linear::kPanel;
    layer.pairs.push_back(pair);
  }
  const auto* residual = ndims[7] == 2 ? static_cast<const float*>(params[7]) : nullptr;
  static thread_local mindcold::linear::Space space;
  apply(layer, static_cast<const float*>(params[0]), static_cast<const int32_t*>(params[6]), shapes[0][0], residual,
        static_cast<float*>(params[8]), &space);
  return 0;
}
