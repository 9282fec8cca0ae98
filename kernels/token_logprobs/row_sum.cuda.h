// The sum of e^(x - largest) over a row of logits, in pieces of kLogitPiece: a warp takes a piece, and pieces are joined in an
// order that depends on V alone, so that a row has the same bits wherever its pieces were added up, and however it is aligned.
#pragma once
#include "../common/reduce.cuda.h"
#include "logit_batch.cuda.h"
#include "token_logprobs.launch.h"

namespace prefgrad {

// What some x of a lane add to its sum.
template <bool entropy, bool raised, bool exact>
struct LogitTerms {
  float sum[4] = {}, rest[2] = {}, weighted[2] = {};
  int tops = 0;

  template <int count>
  PREFGRAD_MEMBER void add(const float (&x)[count], float largest) {
    for (int k = 0; k < count; ++k) {
      float gap = x[k] - largest;
      if (exact || entropy) gap = logit_near(gap);
      const float t = gap * kLogitLog2E;
      float e = logit_exp2(t);
      if (raised && gap == 0.0f) {
        ++tops;
        e = 0.0f;
      }
      sum[k % 4] += e;
      if (exact) rest[k % 2] = fma(e, logit_rest(gap, t), rest[k % 2]);
      if (entropy) weighted[k % 2] = fma(e, gap, weighted[k % 2]);
    }
  }
};

// Of a lane, but for `largest`, which is the warp's: the sum of e^(x - largest) without one occurrence of the largest in all of
// the warp, and of e^(x - largest) (x - largest).
struct LogitSum {
  float largest = kLogitLowest;
  double others = 0.0, moment = 0.0;

  // A larger x was found, by some lane: all so far shrinks, and the old largest joins the others.
  PREFGRAD_MEMBER void raise(float mine) {
    const float top = warp_reduce(mine, MaxOf{}), gap = logit_near(largest - top), t = gap * kLogitLog2E;
    const double shrink = static_cast<double>(logit_exp2(t)) * (1.0 + static_cast<double>(kLogitLn2 * logit_rest(gap, t)));
    const double all = others + (threadIdx.x % kWarp == 0 ? 1.0 : 0.0);
    moment = shrink * (moment + static_cast<double>(gap) * all);
    others = shrink * all;
    largest = top;
  }

  // `raised`: the largest is among these terms; all that equal it were counted, not added, and one is left out.
  template <bool entropy, bool raised, bool exact>
  PREFGRAD_MEMBER void add(const LogitTerms<entropy, raised, exact>& terms) {
    const float(&e)[4] = terms.sum;
    others += static_cast<double>((e[0] + e[1]) + (e[2] + e[3]));
    if (exact) others += static_cast<double>(kLogitLn2 * (terms.rest[0] + terms.rest[1]));
    if (entropy) moment += static_cast<double>(terms.weighted[0] + terms.weighted[1]);
    if (!raised) return;
    const int first = __ffs(static_cast<int>(__ballot_sync(kFullMask, terms.tops > 0))) - 1;
    others += static_cast<double>(first == static_cast<int>(threadIdx.x % kWarp) ? terms.tops - 1 : terms.tops);
  }
};

// Are these x (or logits whose largest is `top`) to be added to a larger largest?
PREFGRAD_DEVICE bool is_logit_raised(const LogitSum& sum, float mine) { return __any_sync(kFullMask, mine > sum.largest); }

template <bool raised, typename Type, bool entropy>
PREFGRAD_DEVICE void add_logit_batch(LogitSum& sum, const LogitBatch<Type>& batch, float factor) {
  // f32 logits leave time for the rounding of t, too.
  LogitTerms<entropy, raised, sizeof(typename Type::Stored) == 4> terms;
  for (int g = 0; g < kLogitGroups; ++g) {
    float x[Type::count];
    Type::widen(batch.group[g], x);
    for (int k = 0; k < Type::count; ++k) x[k] = x[k] * factor;
    terms.add(x, sum.largest);
  }
  sum.add(terms);
}

// Element by element: what is no whole batch, and logits that take longer to bend than to read. `stop` is where they end.
template <typename Type>
PREFGRAD_DEVICE void add_logits_singly(LogitSum& sum, const typename Type::Stored* at, const typename Type::Stored* stop,
                                       const LogitTransform& transform) {
  constexpr int steps = 4;
  PREFGRAD_ROLLED
  for (at += threadIdx.x % kWarp; __any_sync(kFullMask, at < stop); at += steps * kWarp) {
    float x[steps], top = kLogitLowest;
    for (int k = 0; k < steps; ++k) x[k] = at + k * kWarp < stop ? Type::load(at + k * kWarp) : 0.0f;
    transform.apply(x);
    for (int k = 0; k < steps; ++k) {
      if (at + k * kWarp >= stop) x[k] = -kLogitInfinity;
      top = fmaxf(top, x[k]);
    }
    if (is_logit_raised(sum, top)) {
      sum.raise(fmaxf(top, sum.largest));
      LogitTerms<true, true, true> terms;
      terms.add(x, sum.largest);
      sum.add(terms);
    } else {
      LogitTerms<true, false, true> terms;
      terms.add(x, sum.largest);
      sum.add(terms);
    }
  }
}

// A piece whose largest is not an ordinary number, or in which there is a NaN: what it holds is counted.
template <typename Type>
PREFGRAD_DEVICE LogitPart unusual_piece(const typename Type::Stored* p, int count, const LogitTransform& transform) {
  bool has_nan = false;
  int certain = 0, finite = 0;
  PREFGRAD_ROLLED
  for (int i = threadIdx.x % kWarp; i < count; i += kWarp) {
    const uint32_t bits = bits_of(transform(Type::load(p + i)));
    has_nan = has_nan || (bits & 0x7fffffffu) > 0x7f800000u;
    certain += bits == 0x7f800000u ? 1 : 0;
    finite += (bits & 0x7f800000u) != 0x7f800000u ? 1 : 0;
  }
  if (__any_sync(kFullMask, has_nan)) return {0.0, 0.0, nan_f32()};
  certain = warp_reduce(certain, SumOf{});
  finite = warp_reduce(finite, SumOf{});
  if (certain > 0) return {static_cast<double>(certain - 1), 0.0, kLogitInfinity};
  if (finite > 0) return {static_cast<double>(finite - 1), 0.0, kLogitLowest};
  return {0.0, 0.0, -kLogitInfinity};
}

// By a warp: `count` elements from p on.
template <typename Type, bool entropy>
PREFGRAD_DEVICE LogitPart sum_piece(const typename Type::Stored* p, int count, bool reads_aligned,
                                    const LogitTransform& transform) {
  const auto *at = p, *const stop = p + count;
  LogitSum sum;
  if (!transform.is_bent) {
    PREFGRAD_ROLLED
    for (; stop - at >= LogitBatch<Type>::size; at += LogitBatch<Type>::size) {
      const LogitBatch<Type> batch(at, reads_aligned);
      const float mine = fmaxf(transform.of_top(batch.top(transform.falls())), sum.largest);
      if (is_logit_raised(sum, mine)) {
        sum.raise(mine);
        add_logit_batch<true, Type, entropy>(sum, batch, transform.factor);
      } else {
        add_logit_batch<false, Type, entropy>(sum, batch, transform.factor);
      }
    }
  }
  add_logits_singly<Type>(sum, at, stop, transform);
  const bool is_ordinary = sum.others == sum.others && sum.largest > kLogitLowest && sum.largest < kLogitInfinity;
  if (!__all_sync(kFullMask, is_ordinary)) return unusual_piece<Type>(p, count, transform);
  return {warp_reduce(sum.others, SumOf{}), entropy ? warp_reduce(sum.moment, SumOf{}) : 0.0, sum.largest};
}

// By a warp: a row from its pieces. `largest` may also be +inf, -inf (nothing else) or NaN.
PREFGRAD_DEVICE LogitPart join_pieces(const LogitPart* parts, int count) {
  const int lane = threadIdx.x % kWarp;
  float largest = -kLogitInfinity;
  int has_nan = 0;
  PREFGRAD_ROLLED
  for (int k = lane; k < count; k += kWarp) {
    const float top = parts[k].largest;
    has_nan |= top != top ? 1 : 0;
    largest = fmaxf(largest, top);
  }
  largest = warp_reduce(largest, MaxOf{});
  double others = 0.0, moment = 0.0;
  int tops = 0;
  PREFGRAD_ROLLED
  for (int k = lane; k < count; k += kWarp) {
    const LogitPart part = parts[k];
    if (part.largest == largest) {
      ++tops;
      others += part.others;
      moment += part.moment;
      continue;
    }
    const double gap = static_cast<double>(part.largest) - static_cast<double>(largest), shrink = exp(gap);
    if (!(shrink > 0.0)) continue;
    others += shrink * (part.others + 1.0);
    moment += shrink * (part.moment + gap * (part.others + 1.0));
  }
  tops = warp_reduce(tops, SumOf{});
  others = warp_reduce(others, SumOf{}) + static_cast<double>(tops - 1);
  moment = warp_reduce(moment, SumOf{});
  if (__any_sync(kFullMask, has_nan)) largest = nan_f32();
  return {others, moment, largest};
}

}  // namespace prefgrad
