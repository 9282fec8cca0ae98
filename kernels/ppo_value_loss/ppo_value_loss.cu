// See ppo_value_loss.h for the formula, common/token_loss.cuda.h for the launches.
//   ppo_value_loss_count   where blocks do not find the denominator alone
//   ppo_value_loss         reads 8 B per token (12 with clip) and valid, writes 4 B: the least there is; and 104 B of
//                          sums per 1024 tokens
#include "../common/moments.cuda.h"
#include "../common/token_terms.cuda.h"
#include "ppo_value_loss.launch.h"

namespace prefgrad {

struct PpoValueSums {
  TokenSums base;
  double clipped;
  Moments error, returns;

  PREFGRAD_MEMBER static PpoValueSums none() { return {{0.0, 0.0, 0.0}, 0.0, {0.0, 0.0}, {0.0, 0.0}}; }
  PREFGRAD_MEMBER void merge(const PpoValueSums& o) {
    const double n = base.count, other_n = o.base.count;
    if (n == 0.0) {
      error = o.error;
      returns = o.returns;
    } else if (other_n > 0.0) {
      error = merged(error, n, o.error, other_n);
      returns = merged(returns, n, o.returns, other_n);
    }
    base.merge(o.base);
    clipped += o.clipped;
  }
};

struct PpoValueTerms {
  using Sums = PpoValueSums;
  static constexpr int stats_count = 10;
  const PpoValueLoss& a;
  const double coefficient;

  PREFGRAD_MEMBER PpoValueTerms(const PpoValueLoss& args, int64_t, double factor) : a(args), coefficient(factor) {}

  PREFGRAD_MEMBER void add(const Quad& t, Sums& sums) const {
    const bool with_clip = a.clip == a.clip;
    const Float4 value = t.load(a.value), target = t.load(a.returns), weight = t.load_or(a.weight, 1.0f);
    const Float4 before = with_clip ? t.load(a.old_value) : value;
    const double slope = 2.0 * a.scale * coefficient;
    double grad[4];
    for (int k = 0; k < 4; ++k) {
      const double V = value.x[k], R = target.x[k], w = weight.x[k], old = before.x[k];
      const double off = V - R, square = off * off;
      double worst = square;
      grad[k] = slope * w * off;
      if (with_clip) {
        const double low = old - a.clip, high = old + a.clip;
        const double near = (high < V ? high : V < low ? low : V) - R;
        // A NaN among the old values is compared with nothing, and must not look unclipped.
        const double other = old != old ? old : near * near;
        const bool larger = square < other, bad = other != other;
        worst = larger || bad ? other : square;
        grad[k] = larger ? 0.0 : bad ? other : grad[k];
        sums.clipped += t.counts(k) && larger ? 1.0 : 0.0;
      }
      if (t.counts(k)) sums.base.term = fma(w, a.scale * worst, sums.base.term);
    }
    t.store(a.grad_value, grad, (a.accumulate & 2) != 0);
    if (t.valid == 0) return;
    // The first token that counts.
    float first_value = value.x[3], first_target = target.x[3];
    for (int k = 2; k >= 0; --k) {
      first_value = t.counts(k) ? value.x[k] : first_value;
      first_target = t.counts(k) ? target.x[k] : first_target;
    }
    MomentSums errors = {static_cast<double>(first_target) - static_cast<double>(first_value), 0.0, 0.0};
    MomentSums targets = {first_target, 0.0, 0.0};
    for (int k = 0; k < 4; ++k) {
      if (!t.counts(k)) continue;
      errors.add(static_cast<double>(target.x[k]) - static_cast<double>(value.x[k]));
      targets.add(target.x[k]);
    }
    sums.error = errors.moments(t.tokens());
    sums.returns = targets.moments(t.tokens());
  }
  PREFGRAD_MEMBER static void fill(const PpoValueLoss& a, const Quad& t, float x) { t.fill(a.grad_value, x); }
  PREFGRAD_MEMBER static void of_sequence(const PpoValueLoss&, int64_t, Sums&) {}
  PREFGRAD_MEMBER static void stats(const PpoValueLoss& a, const Sums& sums) {
    a.stats[3] = static_cast<float>(sums.clipped);
    a.stats[4] = a.stats[7] = static_cast<float>(sums.base.count);
    a.stats[5] = static_cast<float>(sums.error.mean);
    a.stats[6] = static_cast<float>(sums.error.m2);
    a.stats[8] = static_cast<float>(sums.returns.mean);
    a.stats[9] = static_cast<float>(sums.returns.m2);
  }
};

PREFGRAD_KERNEL(ppo_value_loss_count, PpoValueLoss, kTokenLossThreads) { token_loss_count(a); }
PREFGRAD_KERNEL(ppo_value_loss, PpoValueLoss, PREFGRAD_RESIDENT(kTokenLossThreads, 1)) {
  token_loss_terms<PpoValueTerms>(a);
}

}  // namespace prefgrad
