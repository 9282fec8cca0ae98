// The loss of one pair and its two derivatives, eight pairs at a time; formulas in dpo_loss.h. Each is written from the side
// that neither overflows nor cancels: 1 - s(x) as s(-x), e^-x s(x / t) as one exponential.
#pragma once
#include "../common/logistic.h"
#include "dpo_loss.h"

namespace prefgrad::PREFGRAD_ISA {

// Codes of `kind`.
enum DpoKind {
  kSigmoid,
  kRobust,
  kHinge,
  kIpo,
  kExoPair,
  kNcaPair,
  kBcoPair,
  kSppoHard,
  kApoZero,
  kApoDown,
  kDiscopop,
  kSigmoidNorm,  // kSigmoid with `normalize`
};

struct DpoTerm {
  f64x8 loss, by_chosen, by_rejected;
};

struct DpoSettings {
  double beta, smoothing, shift, temperature, log_right, log_wrong;

  explicit DpoSettings(const DpoLoss& a)
      : beta(a.beta), smoothing(a.smoothing), shift(a.reward_shift), temperature(a.temperature),
        log_right(log1p_of(-a.smoothing)), log_wrong(log_of(a.smoothing)) {}
};

template <int kind>
PREFGRAD_INLINE DpoTerm dpo_term(f64x8 c, f64x8 q, const DpoSettings& s) {
  const auto set = [](double v) PREFGRAD_BODY { return f64x8::set(v); };
  const f64x8 zero = set(0.0), one = set(1.0), half = set(0.5), two = set(2.0), beta = set(s.beta);
  const f64x8 x = beta * (c - q), wrong = set(s.smoothing), right = set(1.0 - s.smoothing), target = set(0.5 / s.beta);
  // Losses of x alone: by_chosen = beta dl/dx = -by_rejected.
  const auto of_margin = [&](f64x8 loss, f64x8 slope) PREFGRAD_BODY -> DpoTerm {
    return {loss, beta * slope, zero - beta * slope};
  };
  if constexpr (kind == kSigmoid) {
    const Logistic l(x);
    return of_margin(zero - right * l.log_up - wrong * l.log_down, wrong * l.up - right * l.down);
  } else if constexpr (kind == kRobust) {
    const Logistic l(x);
    const f64x8 over = set(1.0 - 2.0 * s.smoothing);
    return of_margin((wrong * l.log_down - right * l.log_up) / over, (zero - right * l.down - wrong * l.up) / over);
  } else if constexpr (kind == kHinge) {
    const f64x8 gap = one - x;
    const m8 met = less_equal(gap, zero);
    return of_margin(select(met, zero, gap), select(met, zero, select(is_nan(gap), gap, zero - one)));
  } else if constexpr (kind == kIpo) {
    const f64x8 off = (c - q) - target;
    return {off * off, two * off, zero - two * off};
  } else if constexpr (kind == kExoPair) {
    const Logistic l(x);
    const f64x8 loss = l.up * (l.log_up - set(s.log_right)) + l.down * (l.log_down - set(s.log_wrong));
    return of_margin(loss, l.slope() * (x - set(s.log_right - s.log_wrong)));
  } else if constexpr (kind == kNcaPair) {
    const Logistic chosen(beta * c), rejected(beta * q);
    return {zero - chosen.log_up - half * (chosen.log_down + rejected.log_down), beta * (half * chosen.up - chosen.down),
            beta * half * rejected.up};
  } else if constexpr (kind == kBcoPair) {
    const f64x8 shift = set(s.shift);
    const Logistic chosen(beta * c - shift), rejected(beta * q - shift);
    return {zero - chosen.log_up - rejected.log_down, zero - beta * chosen.down, beta * rejected.up};
  } else if constexpr (kind == kSppoHard) {
    const f64x8 chosen = c - target, rejected = q + target;
    return {chosen * chosen + rejected * rejected, two * chosen, two * rejected};
  } else if constexpr (kind == kApoZero) {
    const Logistic chosen(beta * c), rejected(beta * q);
    return {chosen.down + rejected.up, zero - beta * chosen.slope(), beta * rejected.slope()};
  } else if constexpr (kind == kApoDown) {
    const Logistic chosen(beta * c), margin(x);
    return {chosen.up + margin.down, beta * (chosen.slope() - margin.slope()), beta * margin.slope()};
  } else {
    static_assert(kind == kDiscopop, "every kind has a formula");
    const Logistic l(x), mix(x / set(s.temperature));
    // e^-x m as one exponential: for x < 0 its exponent is x (1 / temperature - 1) - log(1 + e^(x / temperature)).
    const f64x8 rate = select(less(x, zero), set((1.0 - s.temperature) / s.temperature), one);
    const f64x8 steep = exp(zero - absolute(x) * rate - mix.tail);
    const f64x8 cool = set(1.0 / s.temperature);
    const f64x8 slope = steep * (mix.down * cool - one) + l.log_up * mix.slope() * cool - l.down * mix.down;
    return of_margin(steep - l.log_up * mix.down, slope);
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
