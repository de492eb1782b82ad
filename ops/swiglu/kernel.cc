// swiglu on CPU: x [R, 2 K], adapter int32 [R] -> y [R, K]. The contract is reference.py.
#include "swiglu.h"

#include "../trace.h"

extern "C" int swiglu(int count, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  mindcold::Span span("swiglu");
  if (count != 3) return 1;
  mindcold::swiglu::apply(static_cast<const float*>(params[0]), static_cast<const int32_t*>(params[1]), shapes[0][0],
                          shapes[2][1], static_cast<float*>(params[2]));
  return 0;
}
