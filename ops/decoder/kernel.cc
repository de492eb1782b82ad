// decoder on CPU: all layers of a decoder in one call, made of the functions of the single operators, so that its bits are
// theirs. The contract is reference.py; inputs x [R, hidden], adapter int32 [R], cos, sin [R, D / 2], rows int32 [11, R],
// handle int64 [1]; output [R, hidden]. What never changes, weights and caches, is known by the handle: 15 operands a
// layer and more would cost the runtime more than the layer takes on a small model.
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "../lora_linear/linear.h"
#include "../rope/rope.h"
#include "../swiglu/swiglu.h"
#include "../trace.h"
#include "../tree_attention/attention.h"

namespace {

using mindcold::linear::Layer;

enum Linear { kQkv, kO, kGateUp, kDown, kLinears };

struct DecoderLayer {
  Layer linears[kLinears];
  const float* norms;
  bool normed;
  void *k_cache, *v_cache;
  bool halves;  // caches in bfloat16, not float32
  int64_t window;
};

struct Decoder {
  mindcold::rope::Shape shape;
  std::vector<DecoderLayer> layers;
};

class Decoders {
 public:
  static Decoders& get() {
    static auto* decoders = new Decoders;
    return *decoders;
  }

  // What a handle stands for, 0 for a new one; steps under way go on with what they have.
  int64_t set(int64_t handle, std::shared_ptr<Decoder> decoder) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (handle == 0) handle = ++last_;
    all_[handle] = std::move(decoder);
    return handle;
  }

  std::shared_ptr<Decoder> find(int64_t handle) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = all_.find(handle);
    return found == all_.end() ? nullptr : found->second;
  }

  void close(int64_t handle) {
    std::lock_guard<std::mutex> lock(mutex_);
    all_.erase(handle);
  }

 private:
  std::mutex mutex_;
  std::map<int64_t, std::shared_ptr<Decoder>> all_;
  int64_t last_ = 0;
};

// What a layer leaves for the next operator, used again by every layer and step.
struct Buffers {
  std::vector<float> qkv, q, k, v, mixed, hidden, gate_up, gated, x;
  mindcold::linear::Space space;
};

struct Step {
  const int32_t *adapter, *lines;
  const float *cos, *sin;
  int64_t rows;
};

template <class Cache>
void attend(const mindcold::rope::Shape& shape, const DecoderLayer& layer, const Step& step, Buffers* b) {
  mindcold::attention::apply<Cache>({b->q.data(), b->k.data(), b->v.data(), static_cast<Cache*>(layer.k_cache),
                                     static_cast<Cache*>(layer.v_cache), b->mixed.data(), step.lines, step.rows,
                                     shape.heads, shape.kv_heads, shape.size, layer.window});
}

void run_layer(const Decoder& decoder, const DecoderLayer& layer, const Step& step, const float* x, Buffers* b, float* y) {
  using mindcold::Span;
  const auto [heads, kv_heads, size] = decoder.shape;
  const int64_t rows = step.rows, inner = layer.linears[kDown].inputs;
  b->qkv.resize(rows * (heads + 2 * kv_heads) * size);
  b->q.resize(rows * heads * size), b->mixed.resize(rows * heads * size);
  b->k.resize(rows * kv_heads * size), b->v.resize(rows * kv_heads * size);
  b->hidden.resize(rows * layer.linears[kO].outputs), b->gate_up.resize(rows * 2 * inner), b->gated.resize(rows * inner);
  const auto linear = [&](Linear which, const float* in, const float* residual, float* out) {
    mindcold::linear::apply(layer.linears[which], in, step.adapter, rows, residual, out, &b->space);
  };
  {
    Span span("qkv_proj");
    linear(kQkv, x, nullptr, b->qkv.data());
  }
  {
    Span span("rope");
    mindcold::rope::apply(decoder.shape, b->qkv.data(), step.cos, step.sin, step.adapter, rows, layer.norms, layer.normed,
                          b->q.data(), b->k.data(), b->v.data());
  }
  {
    Span span("attention");
    if (layer.halves) {
      attend<uint16_t>(decoder.shape, layer, step, b);
    } else {
      attend<float>(decoder.shape, layer, step, b);
    }
  }
  {
    Span span("o_proj");
    linear(kO, b->mixed.data(), x, b->hidden.data());
  }
  {
    Span span("gate_up_proj");
    linear(kGateUp, b->hidden.data(), nullptr, b->gate_up.data());
  }
  {
    Span span("swiglu");
    mindcold::swiglu::apply(b->gate_up.data(), step.adapter, rows, inner, b->gated.data());
  }
  Span span("down_proj");
  linear(kDown, b->gated.data(), b->hidden.data(), y);
}

}  // namespace

// A decoder of so many layers. Of each: 15 pointers (weight, scale or null, and vectors of the four linears; norms of
// rope; both caches), 31 numbers (type, inputs, outputs, panels, lengths of norm and bias, and low-rank pairs of the four
// linears; whether rope norms; window; whether caches are bfloat16). Of each low-rank pair: adapter, rank, first panel,
// panels, and where A and B are. It takes the place of the handle's, 0 for a new one; gives the handle.
extern "C" int64_t decoder_set(int64_t handle, int64_t heads, int64_t kv_heads, int64_t size, int64_t layers,
                               void** pointers, const int64_t* numbers, const int64_t* pairs) {
  auto decoder = std::make_shared<Decoder>();
  decoder->shape = {heads, kv_heads, size};
  const auto floats = [](int64_t address) { return reinterpret_cast<const float*>(address); };
  for (int64_t i = 0; i < layers; ++i, pointers += 15, numbers += 31) {
    DecoderLayer layer{};
    for (int j = 0; j < kLinears; ++j) {
      void** p = pointers + 3 * j;
      const int64_t* n = numbers + 7 * j;
      layer.linears[j] = {p[0], static_cast<mindcold::linear::Type>(n[0]), n[1], n[2], n[3], static_cast<float*>(p[1]),
                          static_cast<float*>(p[2]), n[4], n[5], {}};
      for (int64_t k = 0; k < n[6]; ++k, pairs += 6) {
        layer.linears[j].pairs.push_back({pairs[0], pairs[1], pairs[2], pairs[3], floats(pairs[4]), floats(pairs[5])});
      }
    }
    layer.norms = static_cast<float*>(pointers[12]), layer.normed = numbers[28] != 0;
    layer.k_cache = pointers[13], layer.v_cache = pointers[14];
    layer.window = numbers[29], layer.halves = numbers[30] != 0;
    decoder->layers.push_back(std::move(layer));
  }
  return Decoders::get().set(handle, std::move(decoder));
}

extern "C" void decoder_close(int64_t handle) { Decoders::get().close(handle); }

extern "C" int decoder(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (count != 7 || shapes[4][0] != mindcold::kLines) return 1;
  const auto decoder = Decoders::get().find(*static_cast<const int64_t*>(params[5]));
  if (!decoder) return 2;
  const Step step{static_cast<const int32_t*>(params[1]), static_cast<const int32_t*>(params[4]),
                  static_cast<const float*>(params[2]), static_cast<const float*>(params[3]), shapes[0][0]};
  static thread_local Buffers buffers;
  const int64_t size = step.rows * shapes[0][1];
  buffers.x.resize(2 * size);
  const auto* x = static_cast<const float*>(params[0]);
  for (size_t i = 0; i < decoder->layers.size(); ++i) {
    const bool last = i + 1 == decoder->layers.size();
    float* y = last ? static_cast<float*>(params[6]) : buffers.x.data() + i % 2 * size;
    run_layer(*decoder, decoder->layers[i], step, x, &buffers, y);
    x = y;
  }
  return 0;
}
