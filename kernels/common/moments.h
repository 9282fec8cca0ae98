// Count, mean and sum of squared deviations, which merge in any grouping (Chan, Golub & LeVeque 1979).
#pragma once
#include "simd.h"

namespace prefgrad::PREFGRAD_ISA {

struct Moments {
  double n, mean, m2;

  PREFGRAD_INLINE void merge(const Moments& other) {
    if (other.n == 0.0) return;
    if (n == 0.0) {
      *this = other;
      return;
    }
    const double total = n + other.n, apart = other.mean - mean;
    mean += apart * (other.n / total);
    m2 += other.m2 + apart * apart * (n * (other.n / total));
    n = total;
  }
};

// Moments of one chunk in one read. Deviations are taken from a value of the chunk itself: its distance from the mean is at
// most sqrt(n) deviations, so that the final subtraction keeps its digits, and equal values have exactly no variance.
struct MomentSums {
  f64x8 shift = f64x8::set(0.0), sum = f64x8::set(0.0), squares = f64x8::set(0.0);

  PREFGRAD_INLINE void start(double value) { shift = f64x8::set(value); }
  // `every`: all lanes are valid.
  template <bool every = false>
  PREFGRAD_INLINE void add(f64x8 x, m8 valid) {
    const f64x8 d = every ? x - shift : select(valid, x - shift, f64x8::set(0.0));
    sum = sum + d;
    squares = fma(d, d, squares);
  }
  PREFGRAD_INLINE Moments moments(double n) const {
    if (n == 0.0) return {0.0, 0.0, 0.0};
    double first[8];
    store(first, shift);
    const double total = prefgrad::PREFGRAD_ISA::sum(sum), square = prefgrad::PREFGRAD_ISA::sum(squares);
    const double m2 = square - total * (total / n);
    return {n, first[0] + total / n, m2 < 0.0 ? 0.0 : m2};
  }
};

// The same from f32, in half the time: deviations are added in f32 within a group of blocks, in f64 from group to group.
struct MomentSums32 {
  f32x16 shift = f32x16::set(0.0f);
  GroupedSum sum, squares;

  PREFGRAD_INLINE void start(float value) { shift = f32x16::set(value); }
  PREFGRAD_INLINE void add(f32x16 x, m16 valid) {
    const f32x16 d = select(valid, x - shift, f32x16::set(0.0f));
    sum.add_product(d, f32x16::set(1.0f));  // there is more to add than to multiply
    squares.add_product(d, d);
  }
  PREFGRAD_INLINE void close_group() {
    sum.close_group();
    squares.close_group();
  }
  // False where f32 does not hold enough digits of the variance: the shift is more than three deviations from the mean, which
  // costs a factor of 10, or a square has left f32. `rounding` is what each x may be off, as a share of the mean: none of it may
  // come near a deviation.
  PREFGRAD_INLINE bool find(double n, double rounding, Moments& found) const {
    const double total = sum.total(), square = squares.total();
    if (total == 0.0 && square == 0.0) {
      found = {n, n == 0.0 ? 0.0 : first_lane(shift), 0.0};
      return rounding * found.mean == 0.0;
    }
    const double apart = total / n, mean = first_lane(shift) + apart, m2 = square - total * apart, blur = rounding * mean;
    found = {n, mean, m2};
    return square > n * 0x1p-100 && square < 0x1p120 && n * apart * apart <= 9.0 * m2 && n * blur * blur <= 0x1p-40 * m2;
  }
};

}  // namespace prefgrad::PREFGRAD_ISA
