// What is made of the difference of two log-probabilities: the ratio, and Schulman's (2020) estimators of the KL divergence.
#pragma once
#include "cuda.h"

namespace prefgrad {

struct Exponential {
  double value;  // e^x
  double rest;   // e^x - 1 - x, exact to a few ULP however small x is
};

// Small x, and in training nearly all are small, go by one series for both. Stops at e^400: far beyond f32, yet finite, so
// that a weight or an advantage of 0 removes it.
PREFGRAD_DEVICE Exponential exponential(double x) {
  if (fabs(x) <= 0.35) {
    // (e^x - 1 - x) / x^2 by Taylor to x^13 / 13!, remainder below 2^-56 of e^x - 1.
    double q = 1.0 / 87178291200.0;
    q = fma(q, x, 1.0 / 6227020800.0);
    q = fma(q, x, 1.0 / 479001600.0);
    q = fma(q, x, 1.0 / 39916800.0);
    q = fma(q, x, 1.0 / 3628800.0);
    q = fma(q, x, 1.0 / 362880.0);
    q = fma(q, x, 1.0 / 40320.0);
    q = fma(q, x, 1.0 / 5040.0);
    q = fma(q, x, 1.0 / 720.0);
    q = fma(q, x, 1.0 / 120.0);
    q = fma(q, x, 1.0 / 24.0);
    q = fma(q, x, 1.0 / 6.0);
    q = fma(q, x, 0.5);
    const double rest = x * x * q;
    return {1.0 + (x + rest), rest};
  }
  const double value = exp(x > 400.0 ? 400.0 : x);
  return {value, value - 1.0 - (x > 1e100 ? 1e100 : x)};
}

// Codes of the estimators in lib/spec.
enum Estimator { kEstimatorK1 = 0, kEstimatorK2 = 1, kEstimatorK3 = 2, kEstimatorAbs = 3 };

struct Estimate {
  double kl;
  double slope;  // its derivative with respect to logprob = ref - x
};

// x = refLogprob - logprob: -x, x^2 / 2, e^x - 1 - x, |x|.
PREFGRAD_DEVICE Estimate estimate(int64_t estimator, double x) {
  if (estimator == kEstimatorK1) return {-x, 1.0};
  if (estimator == kEstimatorK2) return {0.5 * x * x, -x};
  if (estimator == kEstimatorK3) {
    const double rest = exponential(x).rest;
    return {rest, -(rest + x)};
  }
  return {fabs(x), x > 0.0 ? -1.0 : x < 0.0 ? 1.0 : x};
}

}  // namespace prefgrad
