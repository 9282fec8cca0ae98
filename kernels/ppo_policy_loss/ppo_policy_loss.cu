// See ppo_policy_loss.h for the formula, common/token_loss.cuda.h for the launches.
//   ppo_policy_loss_count       where blocks do not find the denominator alone
//   ppo_policy_loss             reads 12 B per token and valid, writes 4 B: the least there is; and 104 B of sums per 1024
//                               tokens
//   ppo_policy_loss_ratios      sequence ratios only: reads 8 B per token, and 4 more for the direct gradient, because no
//                               gradient is known before the whole sequence was read
//   ppo_policy_loss_sequences   the terms with sequence ratios
#include "../common/log_ratio.cuda.h"
#include "../common/token_terms.cuda.h"
#include "ppo_policy_loss.launch.h"

namespace prefgrad {

struct PpoPolicySums {
  TokenSums base;
  double clipped_low, clipped_high, dual_clipped, approx_kl, ratio, ratio_min, ratio_max, log_ratio, log_ratio_square;

  PREFGRAD_MEMBER static PpoPolicySums none() {
    return {{0.0, 0.0, 0.0}, 0.0, 0.0, 0.0, 0.0, 0.0, kInfinity, -kInfinity, 0.0, 0.0};
  }
  PREFGRAD_MEMBER void merge(const PpoPolicySums& o) {
    base.merge(o.base);
    clipped_low += o.clipped_low;
    clipped_high += o.clipped_high;
    dual_clipped += o.dual_clipped;
    approx_kl += o.approx_kl;
    add_ratio(o.ratio, o.ratio_min, o.ratio_max);
    log_ratio += o.log_ratio;
    log_ratio_square += o.log_ratio_square;
  }
  PREFGRAD_MEMBER void add_ratio(double sum, double least, double most) {
    ratio += sum;
    ratio_min = smaller(least, ratio_min);
    ratio_max = larger(most, ratio_max);
  }
};

// Where the clips act, and the ratio that the term is made of. A NaN is never clipped away.
struct PpoClip {
  bool low, high, dual;

  PREFGRAD_MEMBER PpoClip(const PpoPolicyLoss& a, double r, double advantage)
      : low(advantage < 0.0 && r < 1.0 - a.clip_low), high(advantage > 0.0 && 1.0 + a.clip_high < r),
        dual(advantage < 0.0 && a.dual_clip < r) {}  // an absent dual_clip is NaN, which nothing is above

  PREFGRAD_MEMBER bool any() const { return low || high || dual; }
  PREFGRAD_MEMBER double clipped(const PpoPolicyLoss& a, double r) const {
    return high ? 1.0 + a.clip_high : low ? 1.0 - a.clip_low : dual ? a.dual_clip : r;
  }
};

struct PpoSequence {
  double ratio, pull;
};
PREFGRAD_DEVICE PpoSequence& ppo_sequence(const PpoPolicyLoss& a, int64_t b) {
  return reinterpret_cast<PpoSequence*>(a.workspace + token_loss_words(a))[b];
}

template <bool by_sequence>
struct PpoPolicyTerms {
  using Sums = PpoPolicySums;
  static constexpr int stats_count = 13;
  const PpoPolicyLoss& a;
  const double coefficient;
  PpoSequence sequence;

  PREFGRAD_MEMBER PpoPolicyTerms(const PpoPolicyLoss& args, int64_t b, double factor)
      : a(args), coefficient(factor), sequence{1.0, 0.0} {
    if (by_sequence) sequence = ppo_sequence(a, b);
  }

  PREFGRAD_MEMBER void add(const Quad& t, Sums& sums) const {
    const Float4 current = t.load(a.logprob), before = t.load(a.old_logprob), advantage = t.load(a.advantage);
    const Float4 weight = t.load_or(a.weight, 1.0f);
    double grad[4];
    for (int k = 0; k < 4; ++k) {
      const double x = static_cast<double>(current.x[k]) - static_cast<double>(before.x[k]);
      const double A = advantage.x[k], push = static_cast<double>(weight.x[k]) * (0.0 - A);
      const Exponential e = exponential(x);
      const double r = by_sequence ? sequence.ratio : e.value;
      const PpoClip clip(a, r, A);
      const bool shared = by_sequence && a.sequence_gradient == 0;
      grad[k] = coefficient * (shared ? sequence.pull : clip.any() ? 0.0 : push * r);
      if (!t.counts(k)) continue;
      sums.base.term = fma(push, clip.clipped(a, r), sums.base.term);
      sums.clipped_low += clip.low ? 1.0 : 0.0;
      sums.clipped_high += clip.high ? 1.0 : 0.0;
      sums.dual_clipped += clip.dual ? 1.0 : 0.0;
      sums.approx_kl += e.rest;
      sums.log_ratio += x;
      sums.log_ratio_square = fma(x, x, sums.log_ratio_square);
      if (!by_sequence) sums.add_ratio(r, r, r);
    }
    t.store(a.grad_logprob, grad, (a.accumulate & 2) != 0);
  }
  PREFGRAD_MEMBER static void fill(const PpoPolicyLoss& a, const Quad& t, float x) { t.fill(a.grad_logprob, x); }
  PREFGRAD_MEMBER static void of_sequence(const PpoPolicyLoss& a, int64_t b, Sums& sums) {
    if (!by_sequence) return;
    const double ratio = ppo_sequence(a, b).ratio;
    sums.add_ratio(ratio, ratio, ratio);
  }
  PREFGRAD_MEMBER static void stats(const PpoPolicyLoss& a, const Sums& s) {
    const double ratios = by_sequence ? s.base.sequences : s.base.count;
    const double rest[10] = {ratios,  s.clipped_low, s.clipped_high, s.dual_clipped, s.approx_kl,
                             s.ratio, s.ratio_min,   s.ratio_max,    s.log_ratio,    s.log_ratio_square};
    for (int k = 0; k < 10; ++k) a.stats[3 + k] = static_cast<float>(rest[k]);
  }
};

struct PpoCount {
  double count, sum;

  PREFGRAD_MEMBER static PpoCount none() { return {0.0, 0.0}; }
  PREFGRAD_MEMBER void merge(const PpoCount& o) {
    count += o.count;
    sum += o.sum;
  }
};

// The tokens of sequence b chunk by chunk; `each` gets its quads, and leaves its thread's part of the sum.
template <typename Each>
PREFGRAD_DEVICE PpoCount ppo_over_sequence(const PpoPolicyLoss& a, Span span, Each each) {
  PREFGRAD_SHARED(double, total, 2);
  PpoCount sums = PpoCount::none();
  for (int64_t i = 0; i < span.length; i += kTokenLossChunk) {
    const Quad quad(a.valid, span.start + i + 4 * threadIdx.x, span.start + span.length);
    sums.count += quad.tokens();
    if (quad.valid != 0) each(quad, sums.sum);
  }
  sums = block_merge<kTokenLossThreads>(sums);
  if (threadIdx.x == 0) {
    total[0] = sums.count;
    total[1] = sums.sum;
  }
  __syncthreads();
  return {total[0], total[1]};
}

PREFGRAD_KERNEL(ppo_policy_loss_ratios, PpoPolicyLoss, kTokenLossThreads) {
  const int64_t b = blockIdx.x;
  if (b < a.B) {
    const Span span = span_of(a, b);
    const PpoCount mean = ppo_over_sequence(a, span, [&](const Quad& t, double& sum) {
      const Float4 current = t.load(a.logprob), before = t.load(a.old_logprob);
      for (int k = 0; k < 4; ++k) sum += static_cast<double>(current.x[k]) - static_cast<double>(before.x[k]);
    });
    const double x = mean.sum / mean.count, ratio = exp(x > 400.0 ? 400.0 : x);  // as in exponential()
    PpoCount pull = PpoCount::none();
    if (a.sequence_gradient == 0) {
      pull = ppo_over_sequence(a, span, [&](const Quad& t, double& sum) {
        const Float4 advantage = t.load(a.advantage), weight = t.load_or(a.weight, 1.0f);
        for (int k = 0; k < 4; ++k) {
          const double A = advantage.x[k], w = weight.x[k];
          if (t.counts(k) && !PpoClip(a, ratio, A).any()) sum -= w * A;
        }
      });
    }
    if (threadIdx.x == 0) {
      ppo_sequence(a, b) = {ratio, pull.sum * (ratio / mean.count)};
      // All of the count in the first of the sequence's chunks.
      const int64_t first = first_slot_of<kTokenLossChunk>(a, b), chunks = blocks_of(span.length, kTokenLossChunk);
      for (int64_t k = 0; k < chunks; ++k) slot_count(a, first + k) = k == 0 ? static_cast<int64_t>(mean.count) : 0;
    }
  }
  if (is_last_block(a.fault)) finish_counts(a);
}

PREFGRAD_KERNEL(ppo_policy_loss_count, PpoPolicyLoss, kTokenLossThreads) { token_loss_count(a); }
PREFGRAD_KERNEL(ppo_policy_loss, PpoPolicyLoss, PREFGRAD_RESIDENT(kTokenLossThreads, 1)) {
  token_loss_terms<PpoPolicyTerms<false>>(a);
}
PREFGRAD_KERNEL(ppo_policy_loss_sequences, PpoPolicyLoss, PREFGRAD_RESIDENT(kTokenLossThreads, 1)) {
  token_loss_terms<PpoPolicyTerms<true>>(a);
}

}  // namespace prefgrad
