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

}  // namespace prefgrad::PREFGRAD_ISA
