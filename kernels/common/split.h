// Numbers as the sum of two f32, sixteen at a time: what differences of f32 lose when they are rounded is kept.
#pragma once
#include "simd.h"

namespace prefgrad::PREFGRAD_ISA {

struct Split {
  f32x16 high, low;
  PREFGRAD_INLINE f32x16 rounded() const { return high + low; }
};
// a - b, without error unless it overflows (Knuth 1969).
PREFGRAD_INLINE Split difference(f32x16 a, f32x16 b) {
  const f32x16 high = a - b, other = high - a;
  return {high, (a - (high - other)) - (b + other)};
}
// Where digits cancel, low may be as large as high.
PREFGRAD_INLINE Split difference(Split a, Split b) {
  const Split high = difference(a.high, b.high);
  return {high.high, high.low + (a.low - b.low)};
}
// With low below the last digit of high again (Dekker 1971).
PREFGRAD_INLINE Split normalized(Split x) {
  const f32x16 high = x.rounded();
  return {high, x.low - (high - x.high)};
}
PREFGRAD_INLINE Split split(double x) {
  const float high = static_cast<float>(x);
  return {f32x16::set(high), f32x16::set(static_cast<float>(x - static_cast<double>(high)))};
}

}  // namespace prefgrad::PREFGRAD_ISA
