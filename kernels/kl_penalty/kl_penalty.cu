// See kl_penalty.h for the formula, common/token_loss.cuda.h for the launches.
//   kl_penalty_count   where blocks do not find the denominator alone
//   kl_penalty         reads 8 B per token and valid, writes 8 B: the least there is; and 104 B of sums per 1024 tokens
#include "../common/log_ratio.cuda.h"
#include "../common/token_terms.cuda.h"
#include "kl_penalty.launch.h"

namespace prefgrad {

struct KlPenaltySums {
  TokenSums base;
  double kl, kl_min, kl_max;

  PREFGRAD_MEMBER static KlPenaltySums none() { return {{0.0, 0.0, 0.0}, 0.0, kInfinity, -kInfinity}; }
  PREFGRAD_MEMBER void merge(const KlPenaltySums& o) {
    base.merge(o.base);
    kl += o.kl;
    kl_min = smaller(o.kl_min, kl_min);
    kl_max = larger(o.kl_max, kl_max);
  }
};

// An absent bound is NaN: nothing is above it.
PREFGRAD_DEVICE double kl_penalty_clamped(double x, double bound) { return bound < x ? bound : x < -bound ? -bound : x; }

struct KlPenaltyLoss {
  using Sums = KlPenaltySums;
  static constexpr int stats_count = 6;
  const KlPenalty& a;
  const double coefficient;

  PREFGRAD_MEMBER KlPenaltyLoss(const KlPenalty& args, int64_t, double factor) : a(args), coefficient(factor) {}

  PREFGRAD_MEMBER void add(const Quad& t, Sums& sums) const {
    const Float4 current = t.load(a.logprob), ref = t.load(a.ref_logprob), weight = t.load_or(a.weight, 1.0f);
    double kl[4], grad[4];
    for (int k = 0; k < 4; ++k) {
      const double given = static_cast<double>(ref.x[k]) - static_cast<double>(current.x[k]), w = weight.x[k];
      const double x = kl_penalty_clamped(given, a.clamp_input);
      const Estimate e = estimate(a.estimator, x);
      const bool bites = a.clamp_input < fabs(given) || a.clamp_output < fabs(e.kl);
      const double slope = a.gradient != 0 ? e.slope : a.estimator == kEstimatorAbs ? e.kl + e.slope : -x;
      kl[k] = kl_penalty_clamped(e.kl, a.clamp_output);
      grad[k] = coefficient * (w * (bites ? 0.0 : slope));
      if (!t.counts(k)) continue;
      sums.base.term = fma(w, kl[k], sums.base.term);
      sums.kl += kl[k];
      sums.kl_min = smaller(kl[k], sums.kl_min);
      sums.kl_max = larger(kl[k], sums.kl_max);
    }
    t.store(a.kl, kl, false);
    t.store(a.grad_logprob, grad, (a.accumulate & 2) != 0);
  }
  PREFGRAD_MEMBER static void fill(const KlPenalty& a, const Quad& t, float x) {
    t.fill(a.kl, x);
    t.fill(a.grad_logprob, x);
  }
  PREFGRAD_MEMBER static void of_sequence(const KlPenalty&, int64_t, Sums&) {}
  PREFGRAD_MEMBER static void stats(const KlPenalty& a, const Sums& sums) {
    a.stats[3] = static_cast<float>(sums.kl);
    a.stats[4] = static_cast<float>(sums.kl_min);
    a.stats[5] = static_cast<float>(sums.kl_max);
  }
};

PREFGRAD_KERNEL(kl_penalty_count, KlPenalty, kTokenLossThreads) { token_loss_count(a); }
PREFGRAD_KERNEL(kl_penalty, KlPenalty, PREFGRAD_RESIDENT(kTokenLossThreads, 1)) {
  token_loss_terms<KlPenaltyLoss>(a);
}

}  // namespace prefgrad
