// See dpo_loss.h for the formulas.
//   dpo_loss   reads 4 B per input and pair, writes 20 B: the least there is; and 40 B of partial sums per 256 pairs
// Each loss from the side that neither overflows nor cancels: 1 - s(x) as s(-x), e^-x s(x / t) as one exponential.
#include "../common/pair_loss.cuda.h"
#include "dpo_loss.launch.h"

namespace prefgrad {

// Codes of `kind`.
enum DpoKind {
  kDpoSigmoid,
  kDpoRobust,
  kDpoHinge,
  kDpoIpo,
  kDpoExoPair,
  kDpoNcaPair,
  kDpoBcoPair,
  kDpoSppoHard,
  kDpoApoZero,
  kDpoApoDown,
  kDpoDiscopop,
  kDpoSigmoidNorm,  // kDpoSigmoid with `normalize`
};

struct DpoTerm {
  double loss, by_chosen, by_rejected;
};

// Losses of x alone: by_chosen = beta dl/dx = -by_rejected.
PREFGRAD_DEVICE DpoTerm dpo_of_margin(double beta, double loss, double slope) {
  return {loss, beta * slope, -(beta * slope)};
}

PREFGRAD_DEVICE DpoTerm dpo_term(const DpoLoss& a, double c, double q) {
  const double beta = a.beta, x = beta * (c - q), wrong = a.smoothing, right = 1.0 - a.smoothing, target = 0.5 / beta;
  const int kind = static_cast<int>(a.kind);
  // Two logistic functions, of what most kinds need, stand here once for all of them.
  const bool apart = kind == kDpoNcaPair || kind == kDpoBcoPair || kind == kDpoApoZero || kind == kDpoApoDown;
  const double shift = kind == kDpoBcoPair ? a.reward_shift : 0.0;
  const PairLogistic l = pair_logistic(apart ? beta * c - shift : x);
  const PairLogistic m = pair_logistic(kind == kDpoDiscopop  ? x / a.temperature
                                       : kind == kDpoApoDown ? x
                                                             : beta * q - shift);
  switch (kind) {
    case kDpoRobust: {
      const double over = 1.0 - 2.0 * wrong;
      return dpo_of_margin(beta, (wrong * l.log_down - right * l.log_up) / over, (-(right * l.down) - wrong * l.up) / over);
    }
    case kDpoHinge: {
      const double gap = 1.0 - x;
      const bool met = gap <= 0.0;
      return dpo_of_margin(beta, met ? 0.0 : gap, met ? 0.0 : gap != gap ? gap : -1.0);
    }
    case kDpoIpo: {
      const double off = (c - q) - target;
      return {off * off, 2.0 * off, -(2.0 * off)};
    }
    case kDpoExoPair: {
      const double log_right = log1p(-wrong), log_wrong = log(wrong);
      return dpo_of_margin(beta, l.up * (l.log_up - log_right) + l.down * (l.log_down - log_wrong),
                           l.slope() * (x - (log_right - log_wrong)));
    }
    case kDpoNcaPair:
      return {-l.log_up - 0.5 * (l.log_down + m.log_down), beta * (0.5 * l.up - l.down), beta * 0.5 * m.up};
    case kDpoBcoPair:
      return {-l.log_up - m.log_down, -(beta * l.down), beta * m.up};
    case kDpoSppoHard: {
      const double chosen = c - target, rejected = q + target;
      return {chosen * chosen + rejected * rejected, 2.0 * chosen, 2.0 * rejected};
    }
    case kDpoApoZero:
      return {l.down + m.up, -(beta * l.slope()), beta * m.slope()};
    case kDpoApoDown:
      return {l.up + m.down, beta * (l.slope() - m.slope()), beta * m.slope()};
    case kDpoDiscopop: {
      // e^-x m as one exponential: for x < 0 its exponent is x (1 / temperature - 1) - log(1 + e^(x / temperature)).
      const double rate = x < 0.0 ? (1.0 - a.temperature) / a.temperature : 1.0, cool = 1.0 / a.temperature;
      const double steep = exp(-fabs(x) * rate - m.tail);
      return dpo_of_margin(beta, steep - l.log_up * m.down,
                           steep * (m.down * cool - 1.0) + l.log_up * m.slope() * cool - l.down * m.down);
    }
    default:
      return dpo_of_margin(beta, -(right * l.log_up) - wrong * l.log_down, wrong * l.up - right * l.down);
  }
}

// A length to divide by; one that is not above 0 is reported and makes its pair NaN.
PREFGRAD_DEVICE double dpo_length(const DpoLoss& a, const float* lengths, unsigned argument, int64_t i) {
  const double length = pair_input(lengths, i, 1.0);
  if (length > 0.0) return length;
  a.fault->report(argument, i);
  return static_cast<double>(nan_f32());
}

// A factor of 0 removes x even where it is infinite.
PREFGRAD_DEVICE double dpo_scaled(double factor, double x) { return factor == 0.0 ? 0.0 : factor * x; }

PREFGRAD_KERNEL(dpo_loss, DpoLoss, kPairThreads) {
  const double scale = a.grad_scale / pair_denominator(a);
  pair_loss(a, [&](int64_t i) -> PairSums {
    const double w = pair_input(a.weight, i, 1.0), factor = w * scale;
    const double c = static_cast<double>(a.policy_chosen[i]) - pair_input(a.ref_chosen, i, 0.0);
    const double q = static_cast<double>(a.policy_rejected[i]) - pair_input(a.ref_rejected, i, 0.0);
    double chosen_length = 1.0, rejected_length = 1.0;
    if (a.normalize != 0.0) {
      chosen_length = dpo_length(a, a.chosen_length, DpoLoss::chosen_length_input, i);
      rejected_length = dpo_length(a, a.rejected_length, DpoLoss::rejected_length_input, i);
    }
    const DpoTerm term = dpo_term(a, c / chosen_length, q / rejected_length);
    const double chosen = a.beta * c, rejected = a.beta * q;
    pair_output(a.losses, i, term.loss, false);
    pair_output(a.grad_policy_chosen, i, dpo_scaled(factor, term.by_chosen / chosen_length), (a.accumulate & 4) != 0);
    pair_output(a.grad_policy_rejected, i, dpo_scaled(factor, term.by_rejected / rejected_length), (a.accumulate & 8) != 0);
    pair_output(a.chosen_reward, i, chosen, false);
    pair_output(a.rejected_reward, i, rejected, false);
    return {dpo_scaled(w, term.loss), rejected < chosen ? 1.0 : chosen == rejected ? 0.5 : 0.0, chosen - rejected, chosen,
            rejected};
  });
}

}  // namespace prefgrad
