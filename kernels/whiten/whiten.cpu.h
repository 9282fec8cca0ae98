// See whiten.h for the formula, the passes and the bytes.
#pragma once
#include "../common/moments.h"
#include "../common/sequences.h"
#include "whiten.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr int64_t kWhitenChunk = 4096;

struct WhitenScale {
  double n, mean, deviation, back;
};
// The workspace holds 8 words for the scale, then 4 for the moments of each chunk.
PREFGRAD_INLINE WhitenScale& whiten_scale(const Whiten& a) { return *reinterpret_cast<WhitenScale*>(a.workspace); }
PREFGRAD_INLINE Moments& whiten_chunk(const Whiten& a, int64_t item) {
  return *reinterpret_cast<Moments*>(a.workspace + 8 + 4 * item);
}
PREFGRAD_INLINE int64_t whiten_length(const Whiten& a, int64_t item) {
  const int64_t rest = a.N - item * kWhitenChunk;
  return rest < kWhitenChunk ? rest : kWhitenChunk;
}

inline void whiten_moments(const Whiten& a, int64_t begin, int64_t end, int) {
  for (int64_t item = begin; item < end; ++item) {
    MomentSums sums;
    int64_t count = 0;
    each_block(a.valid, item * kWhitenChunk, whiten_length(a, item), [&](const auto& t) PREFGRAD_BODY {
      const unsigned set = bits(t.valid);
      if (set == 0) return;
      if (count == 0) sums.start(a.x[t.at + __builtin_ctz(set)]);
      count += __builtin_popcount(set);
      const f32x16 x = t.load(a.x);
      sums.add(low_f64(x), low_half(t.valid));
      sums.add(high_f64(x), high_half(t.valid));
    });
    whiten_chunk(a, item) = sums.moments(static_cast<double>(count));
  }
}

inline void whiten_combine(const Whiten& a, int64_t, int64_t, int) {
  Moments all = {};
  for (int64_t item = 0; item * kWhitenChunk < a.N; ++item) all.merge(whiten_chunk(a, item));
  const double variance = all.m2 / (a.unbiased == 1 ? all.n - 1.0 : all.n);
  whiten_scale(a) = {all.n, all.mean, std::sqrt(variance + a.epsilon), a.shift_mean == 1 ? 0.0 : all.mean};
}

inline void whiten_forward(const Whiten& a, int64_t begin, int64_t end, int) {
  const WhitenScale& s = whiten_scale(a);
  const f64x8 zero = f64x8::set(0.0), mean = f64x8::set(s.mean), deviation = f64x8::set(s.deviation);
  const f64x8 back = f64x8::set(s.back);
  // Values that do not vary at all are 0 even with epsilon 0.
  const auto whitened = [&](f64x8 x) PREFGRAD_BODY {
    const f64x8 d = x - mean;
    return select(equal(d, zero), zero, d / deviation) + back;
  };
  for (int64_t item = begin; item < end; ++item) {
    each_block(a.valid, item * kWhitenChunk, whiten_length(a, item), [&](const auto& t) PREFGRAD_BODY {
      if (s.n < 2.0) return t.clear(a.y, false);
      const f32x16 x = t.load(a.x);
      t.store(a.y, whitened(low_f64(x)), whitened(high_f64(x)), false);
    });
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
