// See grad_norm.h.
#pragma once
#include "../common/simd.h"
#include "grad_norm.h"

namespace prefgrad::PREFGRAD_ISA {

// Two sets of sums, so that additions do not wait for each other; they are joined in one order at the end.
inline void grad_norm_partials(const GradNorm& a, int64_t begin, int64_t end, int) {
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    int64_t i = chunk * kFlatChunk;
    const int64_t stop = i + kFlatChunk < a.P ? i + kFlatChunk : a.P;
    Sum16 even, odd;
    for (; i + 32 <= stop; i += 32) {
      const f32x16 g = f32x16::load(a.grad + i), h = f32x16::load(a.grad + i + 16);
      even.low = fma(low_f64(g), low_f64(g), even.low);
      even.high = fma(high_f64(g), high_f64(g), even.high);
      odd.low = fma(low_f64(h), low_f64(h), odd.low);
      odd.high = fma(high_f64(h), high_f64(h), odd.high);
    }
    for (; i < stop; i += 16) {
      const f32x16 g = f32x16::load_first(a.grad + i, stop - i, 0.0f);
      even.add(low_f64(g) * low_f64(g), high_f64(g) * high_f64(g));
    }
    a.workspace[chunk] = even.total() + odd.total();
  }
}

inline void grad_norm_finish(const GradNorm& a, int64_t, int64_t, int) {
  double total = 0.0;
  for (int64_t chunk = 0; chunk * kFlatChunk < a.P; ++chunk) total += a.workspace[chunk];
  a.norm[0] = static_cast<float>(std::sqrt(total));
}

}  // namespace prefgrad::PREFGRAD_ISA
