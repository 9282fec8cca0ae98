// What tokens add to ppoPolicyLoss, chunk by chunk: in f32 with their own ratios, in f64 with those of sequences.
#pragma once
#include "../common/split.h"
#include "exact_terms.cpu.h"

namespace prefgrad::PREFGRAD_ISA {

// The clips as f32 compares them: on the side of A's sign, x lies beyond log(1 -+ clip). Within `blur` of that, f64 has to tell.
struct PpoEdges {
  f32x16 low, high, center, half, blur;
  f32x16 dual, log_dual, blur_dual;  // of an absent dual_clip: NaN

  explicit PpoEdges(const PpoPolicyLoss& a) {
    const auto set = [](double v) PREFGRAD_BODY { return f32x16::set(static_cast<float>(v)); };
    // A clip_low of 1 never clips, and what is below -30 is far anyway.
    const double least = a.clip_low < 1.0 ? log_of(1.0 - a.clip_low) : -40.0, most = log_of(1.0 + a.clip_high);
    low = set(1.0 - a.clip_low);
    high = set(1.0 + a.clip_high);
    center = set((most + least) / 2.0);
    half = set((most - least) / 2.0);
    // At least what f64 may be off in a ratio.
    blur = set(0x1p-21 * (most - least) + 0x1p-50);
    const double log = log_of(a.dual_clip);
    dual = set(a.dual_clip);
    log_dual = set(log);
    blur_dual = set(0x1p-21 * log + 0x1p-50);
  }
  // How far x is beyond.
  PREFGRAD_INLINE f32x16 beyond(f32x16 x, f32x16 A) const { return times_sign(x - center, A) - half; }
};

// e^x and e^x - 1 - x of |x| < 30, within 1.5 and 20 ULP.
struct Exponential32 {
  f32x16 value, rest;
};
PREFGRAD_INLINE Exponential32 exponential(Split x) {
  const f32x16 one = f32x16::set(1.0f), rounder = f32x16::set(kRounder<1>);
  const f32x16 sum = fma(x.high, f32x16::set(static_cast<float>(kLog2E)), rounder), n = sum - rounder;
  const f32x16 r = fnma(n, f32x16::set(kLn2LowF), fnma(n, f32x16::set(kLn2HighF), x.high)) + x.low;
  const f32x16 q = exp_tail(r), square = r * r, lowered = (fma(square, q, r) + one) * f32x16::set(kLowered);
  const f32x16 value = raise_by_power(lowered, n, sum);
  // Without a power of two to scale by, r is x itself.
  return {value, select(equal(n, f32x16::set(0.0f)), square * q, value - one - x.high)};
}

// With ratios of their own, in f32, sixteen tokens at a time. Differences of log-probabilities keep what rounding takes from
// them. Far tokens (x beyond 30, no numbers, factors at the ends of f32, ratios too close to a clip for f32 to tell) go
// through f64.
template <bool with_dual, bool with_weight>
struct PpoTokenTerms {
  using Sums = PpoPolicySums;
  const PpoPolicyLoss& a;
  double coefficient;
  const PpoEdges& edges;

  PpoTokenTerms(const PpoPolicyLoss& args, int64_t b, const PpoEdges& clips)
      : a(args), coefficient(coefficient_of(args, sequence_of(args, b).count)), edges(clips) {}

  PREFGRAD_INLINE PpoPolicySums chunk(int64_t first, int64_t count) const {
    const f32x16 zero = f32x16::set(0.0f), factor = f32x16::set(static_cast<float>(coefficient));
    // Where f32 does not hold the factor of the gradients, every token is far.
    const f32x16 widest = f32x16::set(coefficient == 0.0 || is_moderate(coefficient) ? 30.0f : 0.0f);
    const f32x16 most = f32x16::set(0x1p60f), least = f32x16::set(0x1p-60f);
    const f32x16 nan = f32x16::set(std::numeric_limits<float>::quiet_NaN());  // passed over by minimum and maximum
    const bool add = (a.accumulate & 2) != 0;
    PpoExactTerms exact(PpoClip(a), coefficient);
    GroupedSum term, approx_kl, ratio, log_ratio, square_sum;
    f32x16 smallest = f32x16::set(std::numeric_limits<float>::infinity()), largest = zero - smallest;
    int64_t lows = 0, highs = 0, duals = 0;
    each_group(
        a.valid, Span{first, count},
        [&](const auto& t) PREFGRAD_BODY {
          if (!any(t.valid)) return t.clear(a.grad_logprob, add);
          // Where a token does not count A is 0: it has no term, clips nothing, and x is 0 as well.
          Split x = difference(t.load(a.logprob), t.load(a.old_logprob));
          const f32x16 A = t.load(a.advantage);
          f32x16 push = zero - A;
          m16 nothing = equal(A, zero);
          if (with_weight) {
            const f32x16 w = t.load(a.weight);
            push = push * w;
            nothing = nothing | equal(w, zero);
          }
          const f32x16 beyond = edges.beyond(x.high, A), size = absolute(push);
          const m16 clips = less(zero, beyond), worse = less(A, zero);
          m16 good = less(absolute(x.high), widest) & less(size, most) & (less(least, size) | nothing) &
                     less(edges.blur, absolute(beyond));
          Exponential32 e = exponential(x);
          // Beyond the clips these are the clips.
          f32x16 within = select(worse, maximum(e.value, edges.low), minimum(e.value, edges.high));
          m16 clips_dual = first16(0);
          if (with_dual) {
            const f32x16 above = x.high - edges.log_dual;
            good = good & (less(edges.blur_dual, absolute(above)) | ~worse);
            clips_dual = worse & less(zero, above);
            within = select(clips_dual, edges.dual, within);
          }
          const m16 far = ~good & t.valid;
          f32x16 terms = push * within, grad = select(clips | clips_dual, zero, factor * e.value * push);
          m16 counted = t.valid;
          if (__builtin_expect(any(far), 0)) {
            grad = select(far, add_far(t.at, bits(far), exact), grad);
            terms = select(far, zero, terms);
            e.rest = select(far, zero, e.rest);
            x.high = select(far, zero, x.high);
            counted = counted & ~far;
          }
          term.add(terms);
          approx_kl.add(e.rest);
          log_ratio.add(x.high);
          square_sum.add_product(x.high, x.high);
          ratio.add(select(counted, e.value, zero));
          const f32x16 compared = select(counted, e.value, nan);
          smallest = minimum(compared, smallest);
          largest = maximum(compared, largest);
          const m16 clipped = clips & counted;
          lows += __builtin_popcount(bits(clipped & worse));
          highs += __builtin_popcount(bits(clipped & less(zero, A)));
          if (with_dual) duals += __builtin_popcount(bits(clips_dual & counted));
          t.store(a.grad_logprob, grad, add);
        },
        [&]() PREFGRAD_BODY {
          term.close_group();
          approx_kl.close_group();
          ratio.close_group();
          log_ratio.close_group();
          square_sum.close_group();
        });
    PpoPolicySums sums = exact.sums();
    sums.merge({term.total(), static_cast<double>(lows), static_cast<double>(highs), static_cast<double>(duals), approx_kl.total(),
                ratio.total(), log_ratio.total(), square_sum.total(), 0.0 - prefgrad::PREFGRAD_ISA::largest(zero - smallest),
                prefgrad::PREFGRAD_ISA::largest(largest)});
    return sums;
  }

 private:
  // The gradients of those tokens of sixteen that `set` names; the lanes of others are 0.
  __attribute__((noinline)) f32x16 add_far(int64_t at, unsigned set, PpoExactTerms& exact) const {
    alignas(64) double x[16] = {}, A[16] = {}, w[16] = {};
    alignas(64) uint8_t valid[16] = {};
    for (; set != 0; set &= set - 1) {
      const int lane = __builtin_ctz(set);
      const int64_t i = at + lane;
      x[lane] = static_cast<double>(a.logprob[i]) - static_cast<double>(a.old_logprob[i]);
      A[lane] = a.advantage[i];
      w[lane] = with_weight ? a.weight[i] : 1.0;
      valid[lane] = 1;
    }
    const m16 far = nonzero16(valid);
    const f64x8 grad_low = exact.add(f64x8::load(x), f64x8::load(A), f64x8::load(w), low_half(far));
    const f64x8 grad_high = exact.add(f64x8::load(x + 8), f64x8::load(A + 8), f64x8::load(w + 8), high_half(far));
    return narrow(grad_low, grad_high);
  }
};

// With the ratio of their sequence, in f64.
struct PpoSequenceTerms {
  using Sums = PpoPolicySums;
  const PpoPolicyLoss& a;
  const TokenSequence& sequence;
  double coefficient;

  PpoSequenceTerms(const PpoPolicyLoss& args, int64_t b)
      : a(args), sequence(sequence_of(args, b)), coefficient(coefficient_of(args, sequence.count)) {}

  PREFGRAD_INLINE PpoPolicySums chunk(int64_t first, int64_t count) const {
    const bool add = (a.accumulate & 2) != 0, shared = a.sequence_gradient == 0;
    const f64x8 r = f64x8::set(sequence.ratio), together = f64x8::set(coefficient * sequence.pull);
    PpoExactTerms exact(PpoClip(a), coefficient);
    each_block(a.valid, first, count, [&](const auto& t) PREFGRAD_BODY {
      if (!any(t.valid)) return t.clear(a.grad_logprob, add);
      const f32x16 current = t.load(a.logprob), old = t.load(a.old_logprob), A = t.load(a.advantage);
      const f32x16 w = t.load_or(a.weight, 1.0f);
      const f64x8 grad_low = exact.add_shared(low_f64(current) - low_f64(old), low_f64(A), low_f64(w), r);
      const f64x8 grad_high = exact.add_shared(high_f64(current) - high_f64(old), high_f64(A), high_f64(w), r);
      t.store(a.grad_logprob, shared ? together : grad_low, shared ? together : grad_high, add);
    });
    return exact.sums();
  }
};

}  // namespace prefgrad::PREFGRAD_ISA
