// See dpo_loss.h for the formulas, the passes and the bytes.
#pragma once
#include "../common/pairs.h"
#include "../common/plain_pairs.h"
#include "dpo_kinds.cpu.h"

namespace prefgrad::PREFGRAD_ISA {

// Lengths to divide by; one that is not above 0 is reported and makes its pair NaN.
PREFGRAD_INLINE f64x8 dpo_lengths(const DpoLoss& a, const float* lengths, unsigned argument, int64_t i, int64_t n) {
  const f64x8 length = load_pairs(lengths, i, n, 1.0);
  const m8 good = less(f64x8::set(0.0), length);
  if (any(~good)) {
    for (unsigned lane = 0, set = bits(~good); set != 0; ++lane, set >>= 1) {
      if (set & 1) a.fault->report(argument, i + lane);
    }
  }
  return select(good, length, f64x8::set(std::numeric_limits<double>::quiet_NaN()));
}

// A factor of 0 removes x even where it is infinite.
PREFGRAD_INLINE f64x8 scaled(f64x8 factor, f64x8 x) {
  const f64x8 zero = f64x8::set(0.0);
  return select(equal(factor, zero), zero, factor * x);
}

// Log-ratios of eight pairs to the reference, and what they are divided by.
struct DpoPairs {
  f64x8 chosen, rejected;
  f64x8 chosen_length, rejected_length;  // with `normalize` alone

  PREFGRAD_INLINE DpoPairs(const DpoLoss& a, int64_t i, int64_t n)
      : chosen(load_pairs(a.policy_chosen, i, n, 0.0) - load_pairs(a.ref_chosen, i, n, 0.0)),
        rejected(load_pairs(a.policy_rejected, i, n, 0.0) - load_pairs(a.ref_rejected, i, n, 0.0)),
        chosen_length(f64x8::set(1.0)), rejected_length(chosen_length) {
    if (a.normalize == 0.0) return;
    chosen_length = dpo_lengths(a, a.chosen_length, DpoLoss::chosen_length_input, i, n);
    rejected_length = dpo_lengths(a, a.rejected_length, DpoLoss::rejected_length_input, i, n);
  }
  PREFGRAD_INLINE f64x8 c(const DpoLoss& a) const { return a.normalize == 0.0 ? chosen : chosen / chosen_length; }
  PREFGRAD_INLINE f64x8 q(const DpoLoss& a) const { return a.normalize == 0.0 ? rejected : rejected / rejected_length; }
};

inline double dpo_scale(const DpoLoss& a) {
  return a.grad_scale / (a.normalizer == a.normalizer ? a.normalizer : static_cast<double>(a.B));
}

// kSigmoid without smoothing, weights and lengths.
template <bool references>
struct PlainDpo {
  const DpoLoss& a;
  LogisticLosses<true> logistic;
  f32x16 scale, zero = f32x16::set(0.0f);
  explicit PlainDpo(const DpoLoss& args)
      : a(args), logistic(args.beta), scale(f32x16::set(static_cast<float>(dpo_scale(args) * args.beta))) {}

  // Log-ratios of the policy to the reference.
  PREFGRAD_INLINE Split log_ratio(const float* policy, const float* ref, int64_t i, int64_t n) const {
    if constexpr (references) return difference(load_pairs(policy, i, n), load_pairs(ref, i, n));
    return {load_pairs(policy, i, n), f32x16::set(0.0f)};
  }
  PREFGRAD_INLINE f32x16 reward(Split x) const {
    const Split beta = logistic.rate;
    return fma(beta.high, x.high, fma(beta.high, x.low, beta.low * x.high));
  }
  PREFGRAD_INLINE PlainPairs make(int64_t i, int64_t n) const {
    const Split chosen = log_ratio(a.policy_chosen, a.ref_chosen, i, n), rejected = log_ratio(a.policy_rejected, a.ref_rejected, i, n);
    PlainPairs p;
    p.margin = difference(chosen, rejected);
    p.gap = p.margin.rounded();
    p.chosen = reward(chosen);
    p.rejected = reward(rejected);
    return p;
  }
  // Rewards in f64.
  PREFGRAD_INLINE void rewards(int64_t i, int64_t n, f64x8 (&c)[2], f64x8 (&q)[2]) const {
    const f32x16 ref_chosen = references ? load_pairs(a.ref_chosen, i, n) : zero;
    const f32x16 ref_rejected = references ? load_pairs(a.ref_rejected, i, n) : zero;
    const f32x16 chosen = load_pairs(a.policy_chosen, i, n), rejected = load_pairs(a.policy_rejected, i, n);
    const f64x8 factor = f64x8::set(a.beta);
    c[0] = factor * (low_f64(chosen) - low_f64(ref_chosen));
    c[1] = factor * (high_f64(chosen) - high_f64(ref_chosen));
    q[0] = factor * (low_f64(rejected) - low_f64(ref_rejected));
    q[1] = factor * (high_f64(rejected) - high_f64(ref_rejected));
  }
  // A difference may have left f32 on the way to a reward that fits.
  __attribute__((noinline)) void put_right(PlainPairs& p, int64_t i, int64_t n) const {
    const f32x16 infinity = f32x16::set(std::numeric_limits<float>::infinity());
    const m16 chosen = less(absolute(p.chosen), infinity), rejected = less(absolute(p.rejected), infinity);
    if (!any(~(chosen & rejected))) return;
    f64x8 c[2], q[2];
    rewards(i, n, c, q);
    p.chosen = select(chosen, p.chosen, narrow(c[0], c[1]));
    p.rejected = select(rejected, p.rejected, narrow(q[0], q[1]));
    p.gap = select(is_nan(p.gap), narrow(c[0] - q[0], c[1] - q[1]), p.gap);
  }
  __attribute__((noinline)) void put_right(LogisticLoss& l, int64_t i, int64_t n) const {
    const m16 near = logistic.near(make(i, n).margin);
    if (!any(~near)) return;
    f64x8 c[2], q[2];
    rewards(i, n, c, q);
    prefgrad::PREFGRAD_ISA::put_right(l, near, c[0] - q[0], c[1] - q[1]);
  }
  template <bool whole>
  struct Outputs {
    StageOutput<whole> losses, chosen_reward, rejected_reward, grad_chosen, grad_rejected;
    f32x16 scale, zero = f32x16::set(0.0f);
    Outputs(const PlainDpo& loss, int64_t i, int64_t n)
        : losses(loss.a.losses, false, i, n), chosen_reward(loss.a.chosen_reward, false, i, n),
          rejected_reward(loss.a.rejected_reward, false, i, n),
          grad_chosen(loss.a.grad_policy_chosen, (loss.a.accumulate & 4) != 0, i, n),
          grad_rejected(loss.a.grad_policy_rejected, (loss.a.accumulate & 8) != 0, i, n), scale(loss.scale) {}
    PREFGRAD_INLINE void keep(int64_t k, const PlainPairs& p) {
      chosen_reward.keep(k, p.chosen);
      rejected_reward.keep(k, p.rejected);
    }
    PREFGRAD_INLINE void keep(int64_t k, const LogisticLoss& l) {
      const f32x16 pull = scale * l.slope;
      losses.keep(k, l.loss);
      grad_chosen.keep(k, zero - pull);
      grad_rejected.keep(k, pull);
    }
    PREFGRAD_INLINE void close() const {
      losses.close();
      chosen_reward.close();
      rejected_reward.close();
      grad_chosen.close();
      grad_rejected.close();
    }
  };
};

template <int kind>
inline void dpo_loss_items(const DpoLoss& a, int64_t begin, int64_t end) {
  const f64x8 zero = f64x8::set(0.0), half = f64x8::set(0.5), one = f64x8::set(1.0), beta = f64x8::set(a.beta);
  const DpoSettings settings(a);
  const f64x8 scale = f64x8::set(dpo_scale(a));
  LogisticBlock logistics[2];
  const auto logistic = [&](int which, int64_t i) PREFGRAD_BODY -> Logistic {
    return which < kDpoLogistics<kind> ? logistics[which][i] : Logistic(zero, half, half, zero);
  };
  for (int64_t item = begin; item < end; ++item) {
    const int64_t stop = (item + 1) * kPairChunk < a.B ? (item + 1) * kPairChunk : a.B;
    f64x8 loss = zero, accuracy = zero, chosen_sum = zero, rejected_sum = zero;
    for (int64_t block = item * kPairChunk; block < stop; block += kLogisticBlock) {
      const int64_t last = block + kLogisticBlock < stop ? block + kLogisticBlock : stop;
      for (int64_t i = block; i < last; i += 8) {
        const int64_t n = last - i;
        const DpoPairs pairs(a, i, n);
        const f64x8 chosen = beta * pairs.chosen, rejected = beta * pairs.rejected;
        store_pairs(a.chosen_reward, i, n, chosen, false);
        store_pairs(a.rejected_reward, i, n, rejected, false);
        const f64x8 right = select(less(rejected, chosen), one, select(equal(chosen, rejected), half, zero));
        accuracy = accuracy + first_pairs(right, n);
        chosen_sum = chosen_sum + first_pairs(chosen, n);
        rejected_sum = rejected_sum + first_pairs(rejected, n);
        const f64x8 c = pairs.c(a), q = pairs.q(a);
        if (kDpoLogistics<kind> > 0) logistics[0].set(i - block, dpo_argument<kind, 0>(c, q, settings));
        if (kDpoLogistics<kind> > 1) logistics[1].set(i - block, dpo_argument<kind, 1>(c, q, settings));
      }
      for (int which = 0; which < kDpoLogistics<kind>; ++which) logistics[which].find(last - block);
      for (int64_t i = block; i < last; i += 8) {
        const int64_t n = last - i;
        const Logistic first = logistic(0, i - block), second = logistic(1, i - block);
        const DpoPairs pairs(a, i, n);
        const f64x8 w = load_pairs(a.weight, i, n, 1.0), factor = w * scale;
        DpoTerm term = dpo_term<kind>(pairs.c(a), pairs.q(a), settings, first, second);
        if (a.normalize != 0.0) {
          term.by_chosen = term.by_chosen / pairs.chosen_length;
          term.by_rejected = term.by_rejected / pairs.rejected_length;
        }
        store_pairs(a.losses, i, n, term.loss, false);
        store_pairs(a.grad_policy_chosen, i, n, scaled(factor, term.by_chosen), (a.accumulate & 4) != 0);
        store_pairs(a.grad_policy_rejected, i, n, scaled(factor, term.by_rejected), (a.accumulate & 8) != 0);
        loss = loss + first_pairs(scaled(w, term.loss), n);
      }
    }
    double* sums = a.workspace + item * kPairSums;
    sums[0] = sum(loss);
    sums[1] = sum(accuracy);
    sums[2] = sum(chosen_sum);
    sums[3] = sum(rejected_sum);
  }
}

inline void dpo_loss_terms(const DpoLoss& a, int64_t begin, int64_t end, int) {
  switch (a.kind) {
    case kRobust: return dpo_loss_items<kRobust>(a, begin, end);
    case kHinge: return dpo_loss_items<kHinge>(a, begin, end);
    case kIpo: return dpo_loss_items<kIpo>(a, begin, end);
    case kExoPair: return dpo_loss_items<kExoPair>(a, begin, end);
    case kNcaPair: return dpo_loss_items<kNcaPair>(a, begin, end);
    case kBcoPair: return dpo_loss_items<kBcoPair>(a, begin, end);
    case kSppoHard: return dpo_loss_items<kSppoHard>(a, begin, end);
    case kApoZero: return dpo_loss_items<kApoZero>(a, begin, end);
    case kApoDown: return dpo_loss_items<kApoDown>(a, begin, end);
    case kDiscopop: return dpo_loss_items<kDiscopop>(a, begin, end);
    default: break;
  }
  // kSigmoid and kSigmoidNorm
  const bool plain = a.smoothing == 0.0 && a.weight == nullptr && a.normalize == 0.0 && is_moderate(a.beta, 0x1p30) &&
                     is_moderate(dpo_scale(a));
  if (!plain) return dpo_loss_items<kSigmoid>(a, begin, end);
  a.ref_chosen != nullptr ? sum_items(PlainDpo<true>{a}, begin, end) : sum_items(PlainDpo<false>{a}, begin, end);
}

inline void dpo_loss_finish(const DpoLoss& a, int64_t, int64_t, int) {
  double total[4] = {};
  for (int64_t item = 0; item * kPairChunk < a.B; ++item) {
    for (int k = 0; k < 4; ++k) total[k] += a.workspace[item * kPairSums + k];
  }
  const double denominator = a.normalizer == a.normalizer ? a.normalizer : static_cast<double>(a.B);
  a.loss[0] = a.B > 0 ? static_cast<float>(total[0] / denominator) : 0.0f;
  a.stats[0] = static_cast<float>(total[0]);
  a.stats[1] = a.stats[2] = static_cast<float>(a.B);
  const double stats[4] = {total[1], total[2] - total[3], total[2], total[3]};
  for (int k = 0; k < 4; ++k) a.stats[k + 3] = static_cast<float>(stats[k]);
}

}  // namespace prefgrad::PREFGRAD_ISA
