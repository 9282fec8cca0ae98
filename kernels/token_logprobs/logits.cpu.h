// What both directions share: logits of three element types as f32, and their transform.
#pragma once
#include "../common/math.h"

namespace prefgrad::PREFGRAD_ISA {

// Vectors worked on side by side, step by step, so that no step waits for the last: as many as registers allow. For f32
// gradients with 16 registers, loops so short that the processor runs ahead in them are faster.
#if defined(__AVX512F__)
constexpr int kAbreast = 4, kF32GradientsAbreast = 4;
#else
constexpr int kAbreast = 2, kF32GradientsAbreast = 1;
#endif

struct LogitF32 {
  using Element = float;
  static constexpr bool kStreams = true;
  static constexpr int kGradientsAbreast = kF32GradientsAbreast;
  static PREFGRAD_INLINE f32x16 load(const float* p) { return f32x16::load(p); }
  // 64 elements in whatever order is cheapest, the same on every ISA.
  static PREFGRAD_INLINE void load64(const float* p, f32x16 (&x)[4]) {
    for (int k = 0; k < 4; ++k) x[k] = f32x16::load(p + 16 * k);
  }
  static PREFGRAD_INLINE void store(float* p, f32x16 x) { prefgrad::PREFGRAD_ISA::store(p, x); }
};
struct LogitBf16 {
  using Element = uint16_t;
  static constexpr bool kStreams = false;
  static constexpr int kGradientsAbreast = 4;  // to round a gradient takes as many steps again as to find it
  static PREFGRAD_INLINE f32x16 load(const uint16_t* p) { return f32x16::load_bf16(p); }
  static PREFGRAD_INLINE void load64(const uint16_t* p, f32x16 (&x)[4]) {
    for (int k = 0; k < 2; ++k) {
      const bf16x32 two = bf16x32::load(p + 32 * k);
      x[2 * k] = two.even();
      x[2 * k + 1] = two.odd();
    }
  }
  static PREFGRAD_INLINE void store(uint16_t* p, f32x16 x) { store_bf16(p, x); }
};
struct LogitF16 {
  using Element = uint16_t;
  static constexpr bool kStreams = false;
  static constexpr int kGradientsAbreast = 4;  // to round a gradient takes as many steps again as to find it
  static PREFGRAD_INLINE f32x16 load(const uint16_t* p) { return f32x16::load_f16(p); }
  static PREFGRAD_INLINE void load64(const uint16_t* p, f32x16 (&x)[4]) {
    for (int k = 0; k < 4; ++k) x[k] = f32x16::load_f16(p + 16 * k);
  }
  static PREFGRAD_INLINE void store(uint16_t* p, f32x16 x) { store_f16(p, x); }
};

// Asks for the memory a page (4 KB) behind these elements: hardware prefetchers stop where one ends.
template <int count, typename Element>
PREFGRAD_INLINE void prefetch_after(const Element* p) {
  const char* bytes = reinterpret_cast<const char*>(p);
  for (int at = 0; at < count * static_cast<int>(sizeof(Element)); at += 64) __builtin_prefetch(bytes + 4096 + at);
}
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

#define PREFGRAD_ABREAST for (int k = 0; k < kAbreast; ++k)

}  // namespace prefgrad::PREFGRAD_ISA
