// Mean and sum of squared deviations, which merge in any grouping (Chan, Golub & LeVeque 1979).
#pragma once
#include "cuda.h"

namespace prefgrad {

struct Moments {
  double mean, m2;
};

// The moments of n and of `other_n` numbers; both more than 0.
PREFGRAD_DEVICE Moments merged(Moments x, double n, Moments other, double other_n) {
  const double fraction = other_n / (n + other_n), apart = other.mean - x.mean;
  return {x.mean + apart * fraction, x.m2 + (other.m2 + apart * apart * (n * fraction))};
}

// Moments of a few numbers in one pass. Deviations are taken from one of the numbers: its distance from the mean is at most
// sqrt(n) deviations, so that the final subtraction keeps its digits, and equal values have exactly no variance.
struct MomentSums {
  double shift, sum, squares;

  PREFGRAD_MEMBER void add(double x) {
    const double d = x - shift;
    sum += d;
    squares = fma(d, d, squares);
  }
  PREFGRAD_MEMBER Moments moments(double n) const {
    const double mean = sum / n, m2 = squares - sum * mean;
    return {shift + mean, m2 < 0.0 ? 0.0 : m2};
  }
};

}  // namespace prefgrad
