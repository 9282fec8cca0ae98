// What both directions share: logits of three element types as f32, their transform, and e^(x - max).
#pragma once
#include "../common/math.h"

namespace prefgrad::PREFGRAD_ISA {

struct LogitF32 {
  using Element = float;
  static constexpr bool kStreams = true;
  static PREFGRAD_INLINE f32x16 load(const float* p) { return f32x16::load(p); }
  static PREFGRAD_INLINE void store(float* p, f32x16 x) { prefgrad::PREFGRAD_ISA::store(p, x); }
};
struct LogitBf16 {
  using Element = uint16_t;
  static constexpr bool kStreams = false;
  static PREFGRAD_INLINE f32x16 load(const uint16_t* p) { return f32x16::load_bf16(p); }
  static PREFGRAD_INLINE void store(uint16_t* p, f32x16 x) { store_bf16(p, x); }
};
struct LogitF16 {
  using Element = uint16_t;
  static constexpr bool kStreams = false;
  static PREFGRAD_INLINE f32x16 load(const uint16_t* p) { return f32x16::load_f16(p); }
  static PREFGRAD_INLINE void store(uint16_t* p, f32x16 x) { store_f16(p, x); }
};

// The first n elements; the rest is 0. Nothing beyond n is touched.
template <typename Logit>
PREFGRAD_INLINE f32x16 load_some(const typename Logit::Element* p, int64_t n) {
  typename Logit::Element few[16] = {};
  for (int64_t i = 0; i < n; ++i) few[i] = p[i];
  return Logit::load(few);
}
template <typename Logit>
PREFGRAD_INLINE void store_some(typename Logit::Element* p, f32x16 x, int64_t n) {
  typename Logit::Element few[16];
  Logit::store(few, x);
  for (int64_t i = 0; i < n; ++i) p[i] = few[i];
}

// logits -> x.
struct Untouched {
  static constexpr bool kIdentity = true, kBent = false;
  PREFGRAD_INLINE f32x16 operator()(f32x16 l) const { return l; }
};
struct Scaled {
  static constexpr bool kIdentity = false, kBent = false;
  f32x16 factor;
  PREFGRAD_INLINE f32x16 operator()(f32x16 l) const { return l * factor; }
};
struct Capped {
  static constexpr bool kIdentity = false, kBent = true;
  f32x16 inner, height, inverse_height;
  PREFGRAD_INLINE f32x16 operator()(f32x16 l) const { return height * tanh(inner * l); }
  // 1 - tanh^2 from x: dx/dlogit is that times a constant.
  PREFGRAD_INLINE f32x16 slope(f32x16 x) const {
    const f32x16 t = x * inverse_height;
    return fnma(t, t, f32x16::set(1.0f));
  }
};

// Calls `use` with the transform that the options ask for.
template <typename Args, typename Use>
PREFGRAD_INLINE void with_transform(const Args& a, Use use) {
  const auto constant = [](double x) { return f32x16::set(static_cast<float>(x)); };
  const double height = a.softcap * a.inverse_temperature, factor = a.logit_scale * a.inverse_temperature;
  if (a.softcap > 0.0) {
    use(Capped{constant(a.logit_scale / a.softcap), constant(height), constant(1.0 / height)});
  } else if (factor != 1.0) {
    use(Scaled{constant(factor)});
  } else {
    use(Untouched{});
  }
}

// Vectors worked on side by side, step by step, so that no step waits for the last: as many as registers allow.
#if defined(__AVX512F__)
constexpr int kAbreast = 4;
#else
constexpr int kAbreast = 2;
#endif

// gap <= 0 -> e^gap; a gap below -104, where that is 0 in f32, becomes -104, so that 0 * gap is 0 and not NaN. NaN
// stays. The polynomial is that of exp in math.h, but ln 2 is one f32 number: results are too large by kGapExcess |gap|
// of themselves, a tenth of what rounding the gap to f32 may cost. The rest stays within 0.73 ULP.
constexpr double kGapExcess = 0.693147182464599609375 / 0.69314718055994530942 - 1.0;
template <int count>
PREFGRAD_INLINE void exp_gaps(f32x16* gap, f32x16* e) {
  const f32x16 rounder = f32x16::set(kRounder), one = f32x16::set(1.0f);
  f32x16 sum[count], n[count], r[count];
#define PREFGRAD_EACH for (int k = 0; k < count; ++k)
  PREFGRAD_EACH gap[k] = maximum(f32x16::set(-104.0f), gap[k]);
  PREFGRAD_EACH sum[k] = fma(gap[k], f32x16::set(static_cast<float>(kLog2E)), rounder);
  PREFGRAD_EACH n[k] = sum[k] - rounder;
  PREFGRAD_EACH r[k] = fnma(n[k], f32x16::set(static_cast<float>(kLn2High + kLn2Low)), gap[k]);
  PREFGRAD_EACH e[k] = fma(f32x16::set(0x1.6a234ep-10f), r[k], f32x16::set(0x1.123a6cp-7f));
  PREFGRAD_EACH e[k] = fma(e[k], r[k], f32x16::set(0x1.5558f4p-5f));
  PREFGRAD_EACH e[k] = fma(e[k], r[k], f32x16::set(0x1.555490p-3f));
  PREFGRAD_EACH e[k] = fma(e[k], r[k], f32x16::set(0x1.fffffcp-2f));
  PREFGRAD_EACH e[k] = fma(e[k], r[k], one);
  PREFGRAD_EACH e[k] = fma(e[k], r[k], one);
  PREFGRAD_EACH e[k] = shrink_by_power(e[k], n[k], sum[k]);
#undef PREFGRAD_EACH
}
PREFGRAD_INLINE void exp_gaps4(f32x16 (&gap)[4], f32x16 (&e)[4]) {
  for (int k = 0; k < 4; k += kAbreast) exp_gaps<kAbreast>(gap + k, e + k);
}

}  // namespace prefgrad::PREFGRAD_ISA
