// See ppo_value_loss.h for the formula and the bytes, common/token_loss.h for the passes.
#pragma once
#include "../common/math.h"
#include "../common/moments.h"
#include "../common/token_loss.h"
#include "ppo_value_loss.h"

namespace prefgrad::PREFGRAD_ISA {

struct PpoValueSums {
  double term, clipped;
  Moments error, returns;

  static PpoValueSums none() { return {}; }
  void merge(const PpoValueSums& o) {
    term += o.term;
    clipped += o.clipped;
    error.merge(o.error);
    returns.merge(o.returns);
  }
};

inline void ppo_value_loss_prepare(const PpoValueLoss& a, int64_t begin, int64_t end, int) { token_prepare(a, begin, end); }
inline void ppo_value_loss_coefficients(const PpoValueLoss& a, int64_t, int64_t, int) { token_coefficients(a); }

// Moments of what `value` makes of values and returns, in f64.
template <typename Value>
inline __attribute__((noinline)) Moments f64_moments(const PpoValueLoss& a, Span s, double shift, double n, Value value) {
  MomentSums sums;
  sums.start(shift);
  each_block(a.valid, s.start, s.length, [&](const auto& t) PREFGRAD_BODY {
    const f32x16 V = t.load(a.value), R = t.load(a.returns);
    sums.add(value(low_f64(V), low_f64(R)), low_half(t.valid));
    sums.add(value(high_f64(V), high_f64(R)), high_half(t.valid));
  });
  return sums.moments(n);
}

// Moments of V - R and of R over a chunk, in f32 where that holds their variance.
struct PpoValueMoments {
  const PpoValueLoss& a;
  Span span;
  int64_t start;
  MomentSums32 errors, targets;

  PREFGRAD_INLINE PpoValueMoments(const PpoValueLoss& args, Span s) : a(args), span(s), start(first_valid(a.valid, s)) {
    if (start < 0) return;
    errors.start(a.value[start] - a.returns[start]);
    targets.start(a.returns[start]);
  }
  PREFGRAD_INLINE void add(m16 valid, f32x16 error, f32x16 R) {
    errors.add(error, valid);
    targets.add(R, valid);
  }
  PREFGRAD_INLINE void close_group() {
    errors.close_group();
    targets.close_group();
  }
  // Reads values and returns again where f32 was not enough.
  PREFGRAD_INLINE void find(PpoValueSums& sums) const {
    const double n = static_cast<double>(count_valid(a.valid, span));
    if (!errors.find(n, 0x1p-24, sums.error) || !targets.find(n, 0.0, sums.returns)) {
      const double R = a.returns[start], error = a.value[start] - R;
      sums.error = f64_moments(a, span, error, n, [](f64x8 V, f64x8 R) PREFGRAD_BODY { return V - R; });
      sums.returns = f64_moments(a, span, R, n, [](f64x8, f64x8 R) PREFGRAD_BODY { return R; });
    }
    sums.error.mean = 0.0 - sums.error.mean;
  }
};

// In f32, sixteen tokens at a time. Vc - R is taken as (V - R) - (V - old - clip): what is rounded off is then as small as the
// errors and the clip are, however large the values, and exactly nothing where the clip does not act. Tokens whose terms are too
// large for f32, or no numbers, are far: they go through f64 one by one.
template <bool with_clip, bool with_weight>
struct PpoValueTerms {
  using Sums = PpoValueSums;
  const PpoValueLoss& a;
  double coefficient;

  PpoValueTerms(const PpoValueLoss& args, int64_t b)
      : a(args), coefficient(coefficient_of(args, sequence_of(args, b).count)) {}

  PREFGRAD_INLINE PpoValueSums chunk(int64_t first, int64_t count) const {
    const Span s{first, count};
    const double rate = 2.0 * a.scale * coefficient;
    // Where f32 does not hold the factor of the gradients, every token is far.
    const f32x16 far_from = f32x16::set(rate == 0.0 || is_moderate(rate) ? 0x1p96f : 0.0f);
    const f32x16 zero = f32x16::set(0.0f), two = f32x16::set(2.0f), slope = f32x16::set(static_cast<float>(rate));
    const f32x16 clip = f32x16::set(static_cast<float>(a.clip));
    const bool add = (a.accumulate & 2) != 0, in_place = a.grad_value == a.value;
    PpoValueSums sums{};
    GroupedSum term;
    FarTokens far_tokens{};
    int64_t clipped = 0;
    PpoValueMoments moments(a, s);
    if (in_place) {
      // Moments may have to be taken twice, and the values will be gone.
      PpoValueMoments before = moments;
      each_group(
          a.valid, s,
          [&](const auto& t) PREFGRAD_BODY {
            const f32x16 R = t.load(a.returns);
            before.add(t.valid, t.load(a.value) - R, R);
          },
          [&]() PREFGRAD_BODY { before.close_group(); });
      before.find(sums);
    }
    each_group(
        a.valid, s,
        [&](const auto& t) PREFGRAD_BODY {
          // Where a token does not count all of its inputs are 0, and so is what it adds.
          const f32x16 V = t.load(a.value), R = t.load(a.returns), off = V - R;
          f32x16 near = off;  // what is left of the error within the clip
          m16 within = first16(16);
          if (with_clip) {
            const f32x16 moved = V - t.load(a.old_value), beyond = moved - minimum(maximum(moved, zero - clip), clip);
            near = off - beyond;
            // near^2 <= off^2, also where f32 sees no difference. What is no number is not within.
            within = less_equal(beyond * fnma(two, off, beyond), zero);
          }
          f32x16 worst, grad;
          if (with_weight) {
            // The weight stands between the factors, so that a square need not leave f32 where the product does not.
            const f32x16 error = select(within, off, near), pull = t.load(a.weight) * error;
            worst = pull * error;
            grad = slope * pull;
          } else {
            worst = maximum(off * off, near * near);  // a NaN is in the second
            grad = slope * off;
          }
          if (with_clip) grad = where(within, grad);
          const m16 far = ~less(with_weight ? absolute(worst) : worst, far_from) & t.valid;
          if (__builtin_expect(any(far), 0)) {
            alignas(64) float slopes[16];
            store(slopes, grad);
            add_far(t.at, bits(far), far_tokens, slopes);
            grad = f32x16::load(slopes);
            worst = unless(far, worst);
            within = within | far;
          }
          term.add(worst);
          clipped += 16 - __builtin_popcount(bits(within));
          moments.add(t.valid, off, R);
          t.store(a.grad_value, grad, add);
        },
        [&]() PREFGRAD_BODY {
          term.close_group();
          moments.close_group();
        });
    if (!in_place) moments.find(sums);
    sums.term = a.scale * (term.total() + far_tokens.term);
    sums.clipped = static_cast<double>(clipped + far_tokens.clipped);
    return sums;
  }

 private:
  struct FarTokens {
    double term;
    int64_t clipped;
  };
  __attribute__((noinline)) void add_far(int64_t at, unsigned set, FarTokens& sums, float* grad) const {
    for (; set != 0; set &= set - 1) {
      const int lane = __builtin_ctz(set);
      const int64_t i = at + lane;
      const double V = a.value[i], R = a.returns[i], w = with_weight ? a.weight[i] : 1.0, off = V - R;
      double worst = off * off, slope = 2.0 * a.scale * coefficient * w * off;
      if (with_clip) {
        const double low = a.old_value[i] - a.clip, high = a.old_value[i] + a.clip;
        const double above = V >= low ? V : low, near = (above <= high ? above : high) - R, other = near * near;
        sums.clipped += other > worst;
        if (other > worst) slope = 0.0;
        if (other != other) slope = other;
        if (other > worst || other != other) worst = other;
      }
      sums.term += w * worst;
      grad[lane] = static_cast<float>(slope);
    }
  }
};

inline void ppo_value_loss_terms(const PpoValueLoss& a, int64_t begin, int64_t end, int) {
  const bool clip = a.clip == a.clip, weight = a.weight != nullptr;
  if (clip && weight) token_terms<PpoValueTerms<true, true>>(a, begin, end);
  if (clip && !weight) token_terms<PpoValueTerms<true, false>>(a, begin, end);
  if (!clip && weight) token_terms<PpoValueTerms<false, true>>(a, begin, end);
  if (!clip && !weight) token_terms<PpoValueTerms<false, false>>(a, begin, end);
}

inline void ppo_value_loss_finish(const PpoValueLoss& a, int64_t, int64_t, int) {
  const TokenHeader& h = header_of(a);
  if (h.offsets_hold == 0.0) {
    fill_nan(a.loss, 1);
    fill_nan(a.grad_value, a.N);
    fill_nan(a.stats, 10);
    return;
  }
  double numerator;
  const PpoValueSums s = token_finish<PpoValueSums>(a, numerator);
  const double stats[10] = {numerator, h.denominator, h.tokens,      s.clipped,      s.error.n,
                            s.error.mean, s.error.m2, s.returns.n, s.returns.mean, s.returns.m2};
  for (int k = 0; k < 10; ++k) a.stats[k] = static_cast<float>(stats[k]);
}

}  // namespace prefgrad::PREFGRAD_ISA
