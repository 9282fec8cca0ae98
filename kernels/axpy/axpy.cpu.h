// See axpy.h for the formula and the bytes.
#pragma once
#include "../common/elements.h"
#include "axpy.h"

namespace prefgrad::PREFGRAD_ISA {

inline void axpy_forward(const Axpy& a, int64_t begin, int64_t end, int) {
  const f64x8 alpha = f64x8::set(a.alpha);
  each_sixteen(Elements(begin, end, a.N), [&](int64_t i, int64_t n) PREFGRAD_BODY {
    const f32x16 x = load_sixteen(a.x + i, n), y = load_sixteen(a.y + i, n);
    store_sixteen(a.y + i, narrow(fma(alpha, low_f64(x), low_f64(y)), fma(alpha, high_f64(x), high_f64(y))), n);
  });
}

}  // namespace prefgrad::PREFGRAD_ISA
