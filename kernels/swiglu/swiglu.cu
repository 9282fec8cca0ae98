// See swiglu.h for the formulas.
//   swiglu           8 B read and 4 B written per element, the least there is
//   swiglu_backward  12 B read and 8 B written, the least there is
#include "../common/elements.cuda.h"
#include "swiglu.launch.h"

namespace prefgrad {

struct SwigluGate {
  float s, rest;  // sigmoid(x), 1 - sigmoid(x)
};
PREFGRAD_DEVICE SwigluGate swiglu_gate(float x) {
  const float e = exp(-fabs(x)), below = 1.0f + e;
  const bool negative = x < 0.0f;
  return {(negative ? e : 1.0f) / below, (negative ? 1.0f : e) / below};
}

PREFGRAD_KERNEL(swiglu, Swiglu, kElementThreads) {
  const float* const in[2] = {a.gate, a.up};
  map_elements(in, a.y, a.N * a.H, [](const float(&x)[2]) { return x[0] * swiglu_gate(x[0]).s * x[1]; });
}

struct SwigluGradients {
  float gate, up;
};
PREFGRAD_DEVICE SwigluGradients swiglu_gradients(float grad, float gate, float up) {
  const SwigluGate g = swiglu_gate(gate);
  return {grad * up * g.s * fma(gate, g.rest, 1.0f), grad * (gate * g.s)};
}

PREFGRAD_KERNEL(swiglu_backward, SwigluBackward, kElementThreads) {
  constexpr int size = kElementThreads * 4;
  const int64_t n = a.N * a.H, first = int64_t{blockIdx.x} * size;
  const bool add_gate = (a.accumulate & 1) != 0, add_up = (a.accumulate & 2) != 0;
  const bool aligned = is_aligned(a.grad_y) && is_aligned(a.gate) && is_aligned(a.up) && is_aligned(a.grad_gate) &&
                       is_aligned(a.grad_up);
  if (aligned && first + size <= n) {
    const int64_t i = first + 4 * static_cast<int>(threadIdx.x);
    const Float4 grad = *reinterpret_cast<const Float4*>(a.grad_y + i);
    const Float4 gate = *reinterpret_cast<const Float4*>(a.gate + i), up = *reinterpret_cast<const Float4*>(a.up + i);
    Float4 to_gate = {}, to_up = {};
    if (add_gate) to_gate = *reinterpret_cast<const Float4*>(a.grad_gate + i);
    if (add_up) to_up = *reinterpret_cast<const Float4*>(a.grad_up + i);
    PREFGRAD_UNROLL
    for (int k = 0; k < 4; ++k) {
      const SwigluGradients g = swiglu_gradients(grad.x[k], gate.x[k], up.x[k]);
      to_gate.x[k] = add_gate ? to_gate.x[k] + g.gate : g.gate;
      to_up.x[k] = add_up ? to_up.x[k] + g.up : g.up;
    }
    *reinterpret_cast<Float4*>(a.grad_gate + i) = to_gate;
    *reinterpret_cast<Float4*>(a.grad_up + i) = to_up;
    return;
  }
  const int64_t last = first + size < n ? first + size : n;
  for (int64_t i = first + threadIdx.x; i < last; i += kElementThreads) {
    const SwigluGradients g = swiglu_gradients(a.grad_y[i], a.gate[i], a.up[i]);
    a.grad_gate[i] = add_gate ? a.grad_gate[i] + g.gate : g.gate;
    a.grad_up[i] = add_up ? a.grad_up[i] + g.up : g.up;
  }
}

}  // namespace prefgrad
