// What tokens with ratios of their own add to ppoPolicyLoss: f32, sixteen at a time, a stage of 256 in four loops. An exponential is
// a long chain of operations that wait for one another, and a processor works on more of them at once when what comes before and
// behind it has loops of its own.
#pragma once
#include "exact_terms.cpu.h"
#include "ratios.cpu.h"

namespace prefgrad::PREFGRAD_ISA {

// What a stage adds, in f32.
struct PpoStageSums {
  f32x16 term = f32x16::set(0.0f), approx_kl = term, ratio = term, log_ratio = term, square = term;
  f32x16 smallest = f32x16::set(std::numeric_limits<float>::infinity()), largest = term - smallest;
  f32x16 closest = smallest;  // to a clip
  LaneCount low, clipped, dual;
};

// Stages added up in f64.
struct PpoChunkSums {
  Sum16 term, approx_kl, ratio, log_ratio, square;
  f32x16 smallest = PpoStageSums().smallest, largest = PpoStageSums().largest;
  int64_t low = 0, high = 0, dual = 0;

  PREFGRAD_INLINE void add(const PpoStageSums& s) {
    term.add(s.term);
    approx_kl.add(s.approx_kl);
    ratio.add(s.ratio);
    log_ratio.add(s.log_ratio);
    square.add(s.square);
    smallest = minimum(s.smallest, smallest);
    largest = maximum(s.largest, largest);
    const int64_t lows = s.low.total();
    low += lows;
    high += s.clipped.total() - lows;
    dual += s.dual.total();
  }
  PREFGRAD_INLINE PpoPolicySums sums() const {
    const double least = 0.0 - prefgrad::PREFGRAD_ISA::largest(f32x16::set(0.0f) - smallest);
    const double most = prefgrad::PREFGRAD_ISA::largest(largest);
    return {term.total(), static_cast<double>(low), static_cast<double>(high), static_cast<double>(dual), approx_kl.total(),
            ratio.total(), log_ratio.total(), square.total(), least, most};
  }
};

// Differences of log-probabilities keep what rounding takes from them. Far tokens (|x| of 30 or more, no numbers, factors at the
// ends of f32, ratios too close to a clip for f32 to tell) go through f64. They are so rare that a stage is first taken without
// them: what it adds up to tells whether it has any, and then it is taken again.
template <bool with_dual, bool with_weight>
struct PpoTokenTerms {
  using Sums = PpoPolicySums;
  static constexpr int64_t kStage = 256;
  static constexpr float kFar = 30.0f;
  const PpoPolicyLoss& a;
  double coefficient;
  const PpoEdges& edges;
  f32x16 factor, far_from;
  bool adds;  // to the gradients that are there

  PpoTokenTerms(const PpoPolicyLoss& args, int64_t b, const PpoEdges& clips)
      : a(args),
        coefficient(coefficient_of(args, sequence_of(args, b).count)),
        edges(clips),
        factor(f32x16::set(static_cast<float>(coefficient))),
        // Where f32 does not hold the factor of the gradients, every token is far.
        far_from(f32x16::set(coefficient == 0.0 || is_moderate(coefficient) ? kFar : 0.0f)),
        adds((args.accumulate & 2) != 0) {}

  PREFGRAD_INLINE PpoPolicySums chunk(int64_t first, int64_t count) const {
    PpoExactTerms exact(PpoClip(a), coefficient);
    PpoChunkSums near;
    for (int64_t i = 0; i < count; i += kStage) {
      const Span s{first + i, i + kStage < count ? kStage : count - i};
      if (!any_valid(a.valid, s)) {
        each_block(a.valid, s.start, s.length, [&](const auto& t) PREFGRAD_BODY { t.clear(a.grad_logprob, adds); });
        continue;
      }
      Stage stage;
      PpoStageSums sums;
      add_terms<false>(s, stage, sums, exact);
      if (__builtin_expect(may_have_far(sums), 0)) {
        sums = PpoStageSums();
        add_terms<true>(s, stage, sums, exact);
        add_ratios<true>(s, stage, sums, exact);
      } else {
        add_ratios<false>(s, stage, sums, exact);
      }
      near.add(sums);
    }
    PpoPolicySums sums = exact.sums();
    sums.merge(near.sums());
    return sums;
  }

 private:
  // Of each token: x, r and sum of Reduced32, and then, in their places, its ratio and its gradient.
  struct Stage {
    alignas(64) float x[kStage], ratio[kStage], slope[kStage];
    PREFGRAD_INLINE f32x16 slope_at(int64_t k) const { return f32x16::load(slope + k); }
  };

  // A NaN or an infinity is still in the sums of x^2 and of the terms.
  PREFGRAD_INLINE bool may_have_far(const PpoStageSums& s) const {
    const m16 moderate = less(s.square, far_from * far_from) & less(absolute(s.term), f32x16::set(0x1p120f));
    return any(~(moderate & less(edges.blur, s.closest)));
  }

  // Terms and gradients of a stage.
  template <bool has_far>
  PREFGRAD_INLINE void add_terms(Span s, Stage& stage, PpoStageSums& sums, PpoExactTerms& exact) const {
    each_block(a.valid, s.start, s.length,
               [&](const auto& t) PREFGRAD_BODY { add_log_ratios<has_far>(t, t.at - s.start, stage, sums); });
    for (int64_t k = 0; k < s.length; k += 16) add_exponentials<has_far>(k, stage, sums);
    each_block(a.valid, s.start, s.length, [&](const auto& t) PREFGRAD_BODY {
      const int64_t k = t.at - s.start;
      store(stage.slope + k, add_surrogates<has_far>(t, f32x16::load(stage.x + k), f32x16::load(stage.ratio + k), sums, exact));
    });
  }

  // Its ratios; and gradients go to their places, not before nothing else is read: they may be those of log-probabilities.
  template <bool has_far>
  PREFGRAD_INLINE void add_ratios(Span s, const Stage& stage, PpoStageSums& sums, PpoExactTerms& exact) const {
    each_block(a.valid, s.start, s.length, [&](const auto& t) PREFGRAD_BODY {
      const int64_t k = t.at - s.start;
      m16 counted = t.valid;
      if (has_far) {
        counted = counted & is_near(f32x16::load(stage.x + k));
        const m16 far = t.valid & ~counted;
        if (any(far)) add_far_ratios(t.at, bits(far), exact);
      }
      const f32x16 r = f32x16::load(stage.ratio + k);
      sums.ratio = sums.ratio + where(counted, r);
      // NaN is passed over by minimum and maximum.
      const f32x16 compared = select(counted, r, f32x16::set(std::numeric_limits<float>::quiet_NaN()));
      sums.smallest = minimum(compared, sums.smallest);
      sums.largest = maximum(compared, sums.largest);
      t.store(a.grad_logprob, stage.slope_at(k), adds);
    });
  }

  PREFGRAD_INLINE m16 is_near(f32x16 x) const { return less(absolute(x), far_from); }

  // Where a token does not count x is 0, and adds nothing.
  template <bool has_far, typename Block>
  PREFGRAD_INLINE void add_log_ratios(const Block& t, int64_t k, Stage& stage, PpoStageSums& sums) const {
    Split x = difference(t.load(a.logprob), t.load(a.old_logprob));
    const Reduced32 of = reduced(x);
    store(stage.x + k, x.high);
    store(stage.ratio + k, of.r);
    store(stage.slope + k, of.sum);
    if (has_far) x.high = where(is_near(x.high), x.high);
    sums.log_ratio = sums.log_ratio + x.high;
    sums.square = fma(x.high, x.high, sums.square);
  }

  template <bool has_far>
  PREFGRAD_INLINE void add_exponentials(int64_t k, Stage& stage, PpoStageSums& sums) const {
    const f32x16 x = f32x16::load(stage.x + k);
    const Exponential32 e = exponential(x, {f32x16::load(stage.ratio + k), stage.slope_at(k)});
    store(stage.ratio + k, e.value);
    sums.approx_kl = sums.approx_kl + (has_far ? where(is_near(x), e.rest) : e.rest);
  }

  // Returns gradients. Where a token does not count A is 0: it has no term and clips nothing.
  template <bool has_far, typename Block>
  PREFGRAD_INLINE f32x16 add_surrogates(const Block& t, f32x16 x, f32x16 r, PpoStageSums& sums, PpoExactTerms& exact) const {
    const f32x16 zero = f32x16::set(0.0f), A = t.load(a.advantage);
    const m16 worse = less(A, zero), idle = equal(A, zero);
    f32x16 push = zero - A;
    m16 nothing = idle;
    if (with_weight) {
      const f32x16 w = t.load(a.weight);
      push = push * w;
      nothing = nothing | equal(w, zero);
    }
    const f32x16 beyond = edges.beyond(x, A), close = absolute(beyond), size = absolute(push);
    m16 clips = less(zero, beyond) & ~idle, near = less(f32x16::set(0x1p-60f), size) | nothing;
    f32x16 within = select(clips, select(worse, edges.low, edges.high), r), slope = unless(clips, factor * r * push);
    m16 clips_dual = first16(0);
    if (with_dual) {
      const f32x16 above = x - edges.log_dual;
      near = near & (less(edges.blur_dual, absolute(above)) | ~worse);
      clips_dual = worse & less(zero, above);
      within = select(clips_dual, edges.dual, within);
      slope = unless(clips_dual, slope);
    }
    f32x16 term = push * within;
    if (has_far) {
      near = (near & is_near(x) & less(size, f32x16::set(0x1p60f)) & less(edges.blur, close)) | ~t.valid;
      if (any(~near)) slope = select(near, slope, add_far_terms(t.at, bits(~near), exact));
      term = where(near, term);
      clips = clips & near;
      clips_dual = clips_dual & near;
    } else {
      sums.closest = minimum(where(near, close), sums.closest);
    }
    sums.term = sums.term + term;
    sums.low.add(clips & worse);
    sums.clipped.add(clips);
    if (with_dual) sums.dual.add(clips_dual);
    return slope;
  }

  // Those tokens of sixteen that `set` names; other lanes are 0.
  struct Far {
    alignas(64) double x[16] = {}, A[16] = {}, w[16] = {};
    alignas(64) uint8_t valid[16] = {};
  };
  PREFGRAD_INLINE Far read_far(int64_t at, unsigned set) const {
    Far far;
    for (; set != 0; set &= set - 1) {
      const int lane = __builtin_ctz(set);
      const int64_t i = at + lane;
      far.x[lane] = static_cast<double>(a.logprob[i]) - static_cast<double>(a.old_logprob[i]);
      far.A[lane] = a.advantage[i];
      far.w[lane] = with_weight ? a.weight[i] : 1.0;
      far.valid[lane] = 1;
    }
    return far;
  }
  __attribute__((noinline)) void add_far_ratios(int64_t at, unsigned set, PpoExactTerms& exact) const {
    const Far far = read_far(at, set);
    const m16 valid = nonzero16(far.valid);
    for (int half = 0; half < 2; ++half) {
      const f64x8 x = f64x8::load(far.x + 8 * half);
      exact.add_log_ratio(x);
      exact.add_ratio(exponential(x).value, half == 0 ? low_half(valid) : high_half(valid));
    }
  }
  // Returns their gradients.
  __attribute__((noinline)) f32x16 add_far_terms(int64_t at, unsigned set, PpoExactTerms& exact) const {
    const Far far = read_far(at, set);
    f64x8 grad[2];
    for (int half = 0; half < 2; ++half) {
      const f64x8 r = exponential(f64x8::load(far.x + 8 * half)).value;
      grad[half] = exact.add_term(r, f64x8::load(far.A + 8 * half), f64x8::load(far.w + 8 * half));
    }
    return narrow(grad[0], grad[1]);
  }
};

}  // namespace prefgrad::PREFGRAD_ISA
