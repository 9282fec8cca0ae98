// What is made of the difference x of two log-probabilities, which comes as a Pair: the ratio e^x, and Schulman's
// (2020) estimators of the KL divergence. See log_ratio.h.

// e^x = size * 2^power, so that a small factor can join before it overflows.
struct Power {
  size: f32,
  power: i32,
}
fn power_of(x: Pair) -> Power {
  if (!is_finite(x.high)) {
    return Power(select(x.high, 0.0, bits_of(x.high) == 0xff800000u), 0);
  }
  if (x.high < -174.0) {
    return Power(0.0, 0);
  }
  let bound = min(x.high, 176.0);
  let n = round(bound * 1.44269504);
  var r = fma(-n, 0.693145751953125, bound);
  r = fma(-n, 1.42860682030941723e-6, r) + x.low;
  return Power(fma(r * r, exp_tail(r), r) + 1.0, i32(n));
}
// A factor of 0 removes any ratio.
fn times_power(factor: f32, ratio: Power) -> f32 {
  return scale_by_power(scaled(factor, ratio.size), ratio.power);
}

// e^x - 1, and e^x - 1 - x.
struct Exponential {
  less_one: f32,
  rest: f32,
}
fn exponential(x: Pair) -> Exponential {
  if (!is_finite(x.high) || abs(x.high) > 1.38) {
    let less_one = times_power(1.0, power_of(x)) - 1.0;
    // What is lost of an infinite x is its -infinity, which has to stay.
    return Exponential(less_one, select((less_one - x.high) - x.low, less_one, is_infinite(less_one)));
  }
  // Of x / 4 by the series; then twice f(2y) from f(y), where nothing cancels: with m = e^y - 1,
  // e^2y - 1 = m^2 + 2 m and e^2y - 1 - 2y = m^2 + 2 (m - y).
  let y = 0.25 * x.high;
  var rest = y * y * exp_tail(y);
  var m = y + rest;
  rest = fma(m, m, 2.0 * rest);
  m = fma(m, m, 2.0 * m);
  rest = fma(m, m, 2.0 * rest);
  m = fma(m, m, 2.0 * m);
  return Exponential(fma(m + 1.0, x.low, m), fma(m, x.low, rest));
}

// Codes of the estimators in lib/spec.
const K1 = 0u;
const K2 = 1u;
const K3 = 2u;

struct Estimate {
  kl: Pair,
  slope: f32,  // its derivative with respect to logprob = ref - x
}
// x = refLogprob - logprob: -x, x^2 / 2, e^x - 1 - x, |x|.
fn estimate(estimator: u32, x: Pair) -> Estimate {
  let minus = Pair(-x.high, -x.low);
  if (estimator == K1) {
    return Estimate(minus, 1.0);
  }
  if (estimator == K2) {
    let size = value_of(x);
    return Estimate(Pair(0.5 * size * size, 0.0), -size);
  }
  if (estimator == K3) {
    let e = exponential(x);
    return Estimate(Pair(e.rest, 0.0), -e.less_one);
  }
  if (is_nan(x.high) || is_zero(x.high)) {
    return Estimate(x, x.high);
  }
  return Estimate(pair_size(x), select(-1.0, 1.0, is_negative(x.high)));
}
