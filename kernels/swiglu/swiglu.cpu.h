// See swiglu.h for the formulas, the passes and the bytes.
#pragma once
#include "../common/gemm_pack.h"
#include "../common/math.h"
#include "swiglu.h"

namespace prefgrad::PREFGRAD_ISA {

struct Gate {
  f32x16 s, rest;  // sigmoid(x), 1 - sigmoid(x)
  PREFGRAD_INLINE explicit Gate(f32x16 x) {
    const f32x16 zero = f32x16::set(0.0f), one = f32x16::set(1.0f);
    const f32x16 e = exp(zero - absolute(x)), below = one + e;
    const m16 negative = less(x, zero);
    s = select(negative, e, one) / below;
    rest = select(negative, one, e) / below;
  }
};

inline void swiglu_forward(const Swiglu& a, int64_t begin, int64_t end, int) {
  for (int64_t i = begin * a.H; i < end * a.H; i += 16) {
    const int64_t n = end * a.H - i;
    const f32x16 gate = load_up_to(a.gate + i, n), up = load_up_to(a.up + i, n);
    store_up_to(a.y + i, gate * Gate(gate).s * up, n);
  }
}

inline void swiglu_backward(const SwigluBackward& a, int64_t begin, int64_t end, int) {
  const f32x16 one = f32x16::set(1.0f);
  for (int64_t i = begin * a.H; i < end * a.H; i += 16) {
    const int64_t n = end * a.H - i;
    const f32x16 grad = load_up_to(a.grad_y + i, n), gate = load_up_to(a.gate + i, n), up = load_up_to(a.up + i, n);
    const Gate g(gate);
    f32x16 grad_gate = grad * up * g.s * fma(gate, g.rest, one);
    f32x16 grad_up = grad * (gate * g.s);
    if ((a.accumulate & 1) != 0) grad_gate = load_up_to(a.grad_gate + i, n) + grad_gate;
    if ((a.accumulate & 2) != 0) grad_up = load_up_to(a.grad_up + i, n) + grad_up;
    store_up_to(a.grad_gate + i, grad_gate, n);
    store_up_to(a.grad_up + i, grad_up, n);
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
