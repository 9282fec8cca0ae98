// exp, log and their relatives, written once over the vectors of simd.h: no library call, so every ISA and platform gives
// the same bits. f32: exp within 1 ULP. f64: a few ULP of f64, which rounds to the nearest f32 all but always; losses on
// scalars are computed in f64 for exactly that reason.
#pragma once
#include <limits>

#include "simd.h"

namespace prefgrad::PREFGRAD_ISA {

// Whether a factor keeps f32 away from both its ends.
inline bool is_moderate(double factor, double most = 0x1p60) {
  return std::fabs(factor) > 1.0 / most && std::fabs(factor) < most;
}

constexpr double kLog2E = 1.4426950408889634074;
constexpr double kLn2 = 0.69314718055994530942;
// ln 2 in two parts (Cody & Waite 1980): the first has trailing zeros, so that n * kLn2High is exact.
constexpr float kLn2HighF = 0.693145751953125f;
constexpr float kLn2LowF = 1.42860682030941723e-6f;
constexpr double kLn2High = 6.93147180369123816490e-01;
constexpr double kLn2Low = 1.90821492927058770002e-10;

// (e^r - 1 - r) / r^2 in f32 on |r| <= ln(2)/2, by a weighted least-squares fit of the relative error of e^r (3.1e-9).
PREFGRAD_INLINE f32x16 exp_tail(f32x16 r) {
  f32x16 q = fma(f32x16::set(0x1.6a234ep-10f), r, f32x16::set(0x1.123a6cp-7f));
  q = fma(q, r, f32x16::set(0x1.5558f4p-5f));
  q = fma(q, r, f32x16::set(0x1.555490p-3f));
  return fma(q, r, f32x16::set(0x1.fffffcp-2f));
}

// e^x in f32. Overflow gives infinity, underflow passes through the subnormals to 0, NaN stays NaN.
PREFGRAD_INLINE f32x16 exp(f32x16 x) {
  const f32x16 bound = select(is_nan(x), x, minimum(maximum(x, f32x16::set(-150.0f)), f32x16::set(130.0f)));
  const f32x16 n = round_even(bound * f32x16::set(static_cast<float>(kLog2E)));
  f32x16 r = fnma(n, f32x16::set(kLn2HighF), bound);
  r = fnma(n, f32x16::set(kLn2LowF), r);
  return scale_by_power(fma(r * r, exp_tail(r), r) + f32x16::set(1.0f), n);
}

// (e^r - 1 - r) / r^2 on |r| <= 0.35, by a minimax fit of the relative error (3e-18). In pairs (Estrin 1960), because what
// takes time is to wait for one product after the other.
PREFGRAD_INLINE f64x8 exp_tail(f64x8 r) {
  const f64x8 r2 = r * r, r4 = r2 * r2;
  const f64x8 a = fma(f64x8::set(0x1.5555555555557p-3), r, f64x8::set(0.5));
  const f64x8 b = fma(f64x8::set(0x1.111111110ff9cp-7), r, f64x8::set(0x1.555555555554ep-5));
  const f64x8 c = fma(f64x8::set(0x1.a01a01ac9626dp-13), r, f64x8::set(0x1.6c16c16c1a4c3p-10));
  const f64x8 d = fma(f64x8::set(0x1.71de000b778d6p-19), r, f64x8::set(0x1.a01a018f6b5ffp-16));
  const f64x8 e = fma(f64x8::set(0x1.af525c563bf96p-26), r, f64x8::set(0x1.27e511bb66ddcp-22));
  const f64x8 high = fma(fma(f64x8::set(0x1.1f1acdcfaa222p-29), r2, e), r4, fma(d, r2, c));
  return fma(high, r4, fma(b, r2, a));
}

PREFGRAD_INLINE f64x8 exp(f64x8 x) {
  const f64x8 bound = select(is_nan(x), x, minimum(maximum(x, f64x8::set(-760.0)), f64x8::set(720.0)));
  const f64x8 n = round_even(bound * f64x8::set(kLog2E));
  f64x8 r = fnma(n, f64x8::set(kLn2High), bound);
  r = fnma(n, f64x8::set(kLn2Low), r);
  return scale_by_power(fma(r * r, exp_tail(r), r) + f64x8::set(1.0), n);
}

// e^x - 1 without cancellation.
PREFGRAD_INLINE f64x8 expm1(f64x8 x) {
  const f64x8 near = fma(x * x, exp_tail(x), x);
  return select(less(absolute(x), f64x8::set(0.35)), near, exp(x) - f64x8::set(1.0));
}

// e^x - 1 - x, exact to a few ULP however small x is (the k3 estimator).
PREFGRAD_INLINE f64x8 expm1_minus(f64x8 x) {
  return select(less(absolute(x), f64x8::set(0.35)), x * x * exp_tail(x), exp(x) - f64x8::set(1.0) - x);
}

// 2 atanh(s) = 2 s (1 + s^2/3 + s^4/5 + ...) for |s| <= 0.172: behind the first term a minimax fit on s^2 (1.3e-18).
PREFGRAD_INLINE f64x8 twice_atanh(f64x8 s) {
  const f64x8 z = s * s, z2 = z * z;
  const f64x8 a = fma(f64x8::set(0x1.999999997ef92p-2), z, f64x8::set(0x1.5555555555595p-1));
  const f64x8 b = fma(f64x8::set(0x1.c71c514f25a47p-3), z, f64x8::set(0x1.24924942c84c9p-2));
  const f64x8 c = fma(f64x8::set(0x1.399d71c64257dp-3), z, f64x8::set(0x1.74666752209e7p-3));
  const f64x8 high = fma(fma(f64x8::set(0x1.2f3299c724256p-3), z2, c), z2, b);
  return fma(fma(high, z2, a) * z, s, s + s);
}

// Natural logarithm of positive normal numbers; 0 gives -inf, +inf gives +inf, negative and NaN give NaN.
PREFGRAD_INLINE f64x8 log(f64x8 x) {
  const f64x8 one = f64x8::set(1.0), infinity = f64x8::set(std::numeric_limits<double>::infinity());
  f64x8 m = mantissa_of(x), e = exponent_of(x);
  const m8 high = less(f64x8::set(1.4142135623730951), m);
  m = select(high, m * f64x8::set(0.5), m);
  e = select(high, e + one, e);
  const f64x8 reduced = twice_atanh((m - one) / (m + one));
  const f64x8 value = fma(e, f64x8::set(kLn2High), fma(e, f64x8::set(kLn2Low), reduced));
  const f64x8 nan = f64x8::set(std::numeric_limits<double>::quiet_NaN());
  const f64x8 zero = f64x8::set(0.0);
  f64x8 out = select(equal(x, infinity), infinity, value);
  out = select(equal(x, zero), zero - infinity, out);
  return select(less(x, zero) | is_nan(x), nan, out);
}

// log(1 + x) without cancellation, x > -1.
PREFGRAD_INLINE f64x8 log1p(f64x8 x) {
  const f64x8 one = f64x8::set(1.0);
  const f64x8 near = twice_atanh(x / (x + f64x8::set(2.0)));
  const f64x8 y = one + x;
  const f64x8 lost = select(less(y, f64x8::set(1e300)), (x - (y - one)) / y, f64x8::set(0.0));
  return select(less(absolute(x), f64x8::set(0.3)), near, log(y) + lost);
}

// tanh in f32, within 1.3 ULP: below 0.8 an odd polynomial (minimax on x^2, 5e-9), above it 1 - 2 e / (1 + e), e = e^-2|x|.
PREFGRAD_INLINE f32x16 tanh(f32x16 x) {
  const f32x16 zero = f32x16::set(0.0f), one = f32x16::set(1.0f), size = absolute(x), u = x * x;
  f32x16 p = f32x16::set(-0x1.2aa83cp-11f);
  p = fma(p, u, f32x16::set(0x1.754130p-9f));
  p = fma(p, u, f32x16::set(-0x1.16b03ep-7f));
  p = fma(p, u, f32x16::set(0x1.64b06ep-6f));
  p = fma(p, u, f32x16::set(-0x1.b9fc56p-5f));
  p = fma(p, u, f32x16::set(0x1.111080p-3f));
  p = fma(p, u, f32x16::set(-0x1.555554p-2f));
  const f32x16 e = exp(f32x16::set(-2.0f) * size), far = one - (e + e) / (one + e);
  return select(less(size, f32x16::set(0.8f)), fma(p * u, x, x), select(less(x, zero), zero - far, far));
}

// One scalar through the vector code, so that scalars and vectors agree bit for bit.
template <typename Function>
PREFGRAD_INLINE double scalar(Function function, double x) {
  double lanes[8];
  store(lanes, function(f64x8::set(x)));
  return lanes[0];
}
PREFGRAD_INLINE double log1p_of(double x) { return scalar([](f64x8 v) { return log1p(v); }, x); }
PREFGRAD_INLINE double log_of(double x) { return scalar([](f64x8 v) { return log(v); }, x); }
PREFGRAD_INLINE double exp_of(double x) { return scalar([](f64x8 v) { return exp(v); }, x); }
PREFGRAD_INLINE double expm1_of(double x) { return scalar([](f64x8 v) { return expm1(v); }, x); }

}  // namespace prefgrad::PREFGRAD_ISA
