// What the logits of a row add to its sum, chunk by chunk: terms kUnit e^(x - base). Sixteen vectors of terms are added in f32,
// four by four, before they are widened.
#pragma once
#include <type_traits>

#include "unit_powers.cpu.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr int64_t kLogitChunk = 4096;  // elements; part of the result's bits
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLeastGap = -131.0f;  // kUnit e^gap is 0 in f32 below it

// Sums of terms, and of terms times x - reference.
struct TermSums {
  Sum16 sum, weighted;

  PREFGRAD_INLINE void add(const TermSums& o) {
    sum.add(o.sum.low, o.sum.high);
    weighted.add(o.weighted.low, o.weighted.high);
  }
  // To a reference that is lower by `down`.
  PREFGRAD_INLINE void shift(double down) {
    weighted.low = fma(sum.low, f64x8::set(down), weighted.low);
    weighted.high = fma(sum.high, f64x8::set(down), weighted.high);
  }
};

// What some x add, and the largest of them (of each lane). NaN is passed over there: the sum will show it.
struct Terms {
  TermSums sums;
  f32x16 top[2] = {f32x16::set(-kInfinity), f32x16::set(-kInfinity)};

  PREFGRAD_INLINE bool exceeds(float largest) const {
    return any(less(f32x16::set(largest), maximum(top[0], top[1])));
  }
  PREFGRAD_INLINE float largest() const { return prefgrad::PREFGRAD_ISA::largest(maximum(top[0], top[1])); }
  PREFGRAD_INLINE bool finite() const {
    const f64x8 all = sums.sum.low + sums.sum.high, zero = f64x8::set(0.0);
    return !any(~equal(all - all, zero));
  }
};

// Where 64 x come from: logits, or f32 that were made of them.
template <typename Logit, typename Transform>
struct Source {
  static constexpr bool kPlainBf16 = std::is_same_v<Logit, LogitBf16> && Transform::kIdentity;
  const typename Logit::Element* logits;
  Transform transform;
  PREFGRAD_INLINE void load64(int64_t i, f32x16 (&x)[4]) const {
    Logit::load64(logits + i, x);
    for (int k = 0; k < 4; ++k) x[k] = transform(x[k]);
  }
};

// Calls use(source, n) for the chunk of a row that begins at `at`. Up to 63 elements at the end are filled up with -inf.
template <typename Logit, typename Transform, typename Use>
PREFGRAD_INLINE void with_chunk(const typename Logit::Element* p, int64_t V, int64_t at, Transform transform, Use use) {
  const int64_t whole = V / 64 * 64;
  if (at < whole) {
    const int64_t n = whole - at < kLogitChunk ? whole - at : kLogitChunk;
    return use(Source<Logit, Transform>{p + at, transform}, n);
  }
  float rest[64];
  for (int64_t i = 0; i < 64; i += 16) {
    const int64_t n = V - at - i > 16 ? 16 : V - at - i > 0 ? V - at - i : 0;
    store(rest + i, select(first16(n), transform(load_some<Logit>(p + at + i, n)), f32x16::set(-kInfinity)));
  }
  use(Source<LogitF32, Untouched>{rest, {}}, 64);
}

// The largest of n x. NaN is passed over.
template <typename From>
inline __attribute__((noinline)) float largest_of(From source, int64_t n) {
  f32x16 top[2] = {f32x16::set(-kInfinity), f32x16::set(-kInfinity)};
  for (int64_t i = 0; i < n; i += 64) {
    f32x16 x[4];
    source.load64(i, x);
    for (int k = 0; k < 4; ++k) top[k & 1] = maximum(x[k], top[k & 1]);
  }
  return largest(maximum(top[0], top[1]));
}

// Of n x, a multiple of 64. Where the largest of them is below 0 and the reference is not, it is not sure to be found. `plain`:
// the base is 0, and -inf makes the sum NaN.
template <bool entropy, bool plain, typename From>
PREFGRAD_INLINE Terms terms_of(From source, int64_t n, float base, float reference) {
  const f32x16 bases = f32x16::set(base), down = f32x16::set(reference) - bases, least = f32x16::set(kLeastGap);
  const UnitPowers powers;
  Terms out;
  bf16x32 raw_top = bf16x32::set(0xff80);  // -inf
  const auto add = [&](int64_t i, int count) PREFGRAD_BODY {  // up to four times 64
    f32x16 part[4], drift[4];
    for (int step = 0; step < count; ++step) {
      f32x16 loaded[4];
      prefetch_after<64>(source.logits + i + 64 * step);
      source.load64(i + 64 * step, loaded);
      if constexpr (From::kPlainBf16) {
        const uint16_t* p = source.logits + i + 64 * step;
        raw_top = larger_positive(larger_positive(raw_top, bf16x32::load(p)), bf16x32::load(p + 32));
      }
      for (int first = 0; first < 4; first += kAbreast) {
        f32x16 x[kAbreast], scale[kAbreast], curve[kAbreast];
        PREFGRAD_ABREAST x[k] = loaded[first + k];
        if (!From::kPlainBf16) PREFGRAD_ABREAST out.top[k & 1] = maximum(x[k], out.top[k & 1]);
        if (!plain) PREFGRAD_ABREAST x[k] = maximum(least, x[k] - bases);
        powers(x, scale, curve);
        PREFGRAD_ABREAST part[first + k] = step == 0 ? scale[k] * curve[k] : fma(scale[k], curve[k], part[first + k]);
        if (!entropy) continue;
        PREFGRAD_ABREAST {
          const f32x16 gap = x[k] - down, e = scale[k] * curve[k];
          drift[first + k] = step == 0 ? e * gap : fma(e, gap, drift[first + k]);
        }
      }
    }
    out.sums.sum.add((part[0] + part[1]) + (part[2] + part[3]));
    if (entropy) out.sums.weighted.add((drift[0] + drift[1]) + (drift[2] + drift[3]));
  };
  int64_t i = 0;
  for (; i + 256 <= n; i += 256) add(i, 4);
  if (i < n) add(i, static_cast<int>((n - i) / 64));
  if constexpr (From::kPlainBf16) {
    out.top[0] = raw_top.even();
    out.top[1] = raw_top.odd();
    // Without a positive x they say nothing.
    if (reference < 0.0f && !any(less_equal(f32x16::set(0.0f), maximum(out.top[0], out.top[1])))) {
      out.top[0] = out.top[1] = f32x16::set(largest_of(source, n));
    }
  }
  return out;
}

}  // namespace prefgrad::PREFGRAD_ISA
