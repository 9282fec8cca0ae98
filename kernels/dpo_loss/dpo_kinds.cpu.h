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

// How many logistic functions a kind needs, and of what.
template <int kind>
constexpr int kDpoLogistics = kind == kHinge || kind == kIpo || kind == kSppoHard       ? 0
                              : kind == kSigmoid || kind == kRobust || kind == kExoPair ? 1
                                                                                        : 2;
template <int kind, int which>
PREFGRAD_INLINE f64x8 dpo_argument(f64x8 c, f64x8 q, const DpoSettings& s) {
  const f64x8 beta = f64x8::set(s.beta);
  if constexpr (kind == kNcaPair || kind == kApoZero) return beta * (which == 0 ? c : q);
  if constexpr (kind == kBcoPair) return beta * (which == 0 ? c : q) - f64x8::set(s.shift);
  if constexpr (kind == kApoDown) return which == 0 ? beta * c : beta * (c - q);
  const f64x8 x = beta * (c - q);
  return which == 0 ? x : x / f64x8::set(s.temperature);  // kDiscopop alone has a second one
}

// `first` and `second` are what dpo_argument asks for, as far as there are any.
template <int kind>
PREFGRAD_INLINE DpoTerm dpo_term(f64x8 c, f64x8 q, const DpoSettings& s, const Logistic& first, const Logistic& second) {
  const auto set = [](double v) PREFGRAD_BODY { return f64x8::set(v); };
  const f64x8 zero = set(0.0), one = set(1.0), half = set(0.5), two = set(2.0), beta = set(s.beta);
  const f64x8 x = beta * (c - q), wrong = set(s.smoothing), right = set(1.0 - s.smoothing), target = set(0.5 / s.beta);
  // Losses of x alone: by_chosen = beta dl/dx = -by_rejected.
  const auto of_margin = [&](f64x8 loss, f64x8 slope) PREFGRAD_BODY -> DpoTerm {
    return {loss, beta * slope, zero - beta * slope};
  };
  if constexpr (kind == kSigmoid) {
    return of_margin(zero - right * first.log_up - wrong * first.log_down, wrong * first.up - right * first.down);
  } else if constexpr (kind == kRobust) {
    const f64x8 over = set(1.0 - 2.0 * s.smoothing);
    return of_margin((wrong * first.log_down - right * first.log_up) / over,
                     (zero - right * first.down - wrong * first.up) / over);
  } else if constexpr (kind == kHinge) {
    const f64x8 gap = one - x;
    const m8 met = less_equal(gap, zero);
    return of_margin(select(met, zero, gap), select(met, zero, select(is_nan(gap), gap, zero - one)));
  } else if constexpr (kind == kIpo) {
    const f64x8 off = (c - q) - target;
    return {off * off, two * off, zero - two * off};
  } else if constexpr (kind == kExoPair) {
    const f64x8 loss = first.up * (first.log_up - set(s.log_right)) + first.down * (first.log_down - set(s.log_wrong));
    return of_margin(loss, first.slope() * (x - set(s.log_right - s.log_wrong)));
  } else if constexpr (kind == kNcaPair) {
    return {zero - first.log_up - half * (first.log_down + second.log_down), beta * (half * first.up - first.down),
            beta * half * second.up};
  } else if constexpr (kind == kBcoPair) {
    return {zero - first.log_up - second.log_down, zero - beta * first.down, beta * second.up};
  } else if constexpr (kind == kSppoHard) {
    const f64x8 chosen = c - target, rejected = q + target;
    return {chosen * chosen + rejected * rejected, two * chosen, two * rejected};
  } else if constexpr (kind == kApoZero) {
    return {first.down + second.up, zero - beta * first.slope(), beta * second.slope()};
  } else if constexpr (kind == kApoDown) {
    return {first.up + second.down, beta * (first.slope() - second.slope()), beta * second.slope()};
  } else {
    static_assert(kind == kDiscopop, "every kind has a formula");
    // e^-x m as one exponential: for x < 0 its exponent is x (1 / temperature - 1) - log(1 + e^(x / temperature)).
    const f64x8 rate = select(less(x, zero), set((1.0 - s.temperature) / s.temperature), one);
    const f64x8 steep = exp(zero - absolute(x) * rate - second.tail);
    const f64x8 cool = set(1.0 / s.temperature);
    const f64x8 slope = steep * (second.down * cool - one) + first.log_up * second.slope() * cool - first.down * second.down;
    return of_margin(steep - first.log_up * second.down, slope);
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
