// The sum over a row of logits, read from memory once. It is found before it is known which x is the largest; that one's term is
// then taken out again. Only where it is a large part of the sum, and too little would be right of what is left, its chunk is
// taken a second time.
//
// Rows whose largest x is an ordinary number have base 0, which saves the subtraction and its rounding; in others it is the
// largest x so far.
#pragma once
#include "logit_terms.cpu.h"

namespace prefgrad::PREFGRAD_ISA {

// With base 0 and the largest x between these, terms and sums of sixteen fit f32, and whatever the largest x leaves of the
// others in f32 is not lost to underflow.
constexpr float kLeastPlain = -7.0f, kMostPlain = 43.0f;
PREFGRAD_INLINE bool is_plain(float largest) { return largest > kLeastPlain && largest < kMostPlain; }

// What is known of a row: the largest x, how many others equal it (of those that were counted, not added), and the sums of
// all terms but those, in units of kUnit e^-base.
struct RowSum {
  float largest = -kInfinity, base = 0.0f;
  double equals = 0.0, total = 0.0, moment = 0.0;
  TermSums sums;

  PREFGRAD_INLINE void settle() {
    total += sums.sum.total();
    moment += sums.weighted.total();
    sums = TermSums{};
  }
  // A larger x was found: the old largest joins the others.
  void raise(float top) {
    settle();
    if (largest != -kInfinity) {
      total += (1.0 + equals) * kUnit;
      moment += total * (static_cast<double>(largest) - static_cast<double>(top));
      const double shrink = unit_power_of(static_cast<double>(top) - static_cast<double>(base)) / kUnit;
      total /= shrink;
      moment /= shrink;
    }
    equals = 0.0;
    largest = base = top;
  }
  // The sums of e^(x - largest), without one occurrence of the largest, and of e^(x - largest) (x - largest).
  PREFGRAD_INLINE void finish() {
    settle();
    const double unit = unit_power_of(static_cast<double>(largest) - static_cast<double>(base));
    total = total / unit + equals;
    moment /= unit;
    // The excess matters where all gaps are wide: if few terms make up the sum, they lie about -ln(sum) below the largest; if
    // many do, their roundings allow for far more than what is left of this.
    if (!(total > 0.0 && total < 1.0)) return;
    const double share = 1.0 + kExcess * log_of(total);
    total *= share;
    moment *= share;
  }
};

// Adds a chunk that the largest of the row comes from: all that equal it are counted, not added, and one is left out.
template <bool entropy, typename From>
inline __attribute__((noinline)) void add_raised(RowSum& row, From source, int64_t n) {
  const f32x16 zero = f32x16::set(0.0f), one = f32x16::set(1.0f);
  const f32x16 bases = f32x16::set(row.base), largests = f32x16::set(row.largest), least = f32x16::set(kLeastGap);
  const f32x16 down = largests - bases;
  const UnitPowers powers;
  f32x16 count = zero;
  for (int64_t i = 0; i < n; i += 64) {
    f32x16 loaded[4], e[4], gaps[4];
    source.load64(i, loaded);
    for (int first = 0; first < 4; first += kAbreast) {
      f32x16 y[kAbreast], scale[kAbreast], curve[kAbreast];
      PREFGRAD_ABREAST y[k] = maximum(least, loaded[first + k] - bases);
      powers(y, scale, curve);
      PREFGRAD_ABREAST {
        const m16 top = equal(loaded[first + k], largests);
        count = count + where(top, one);
        e[first + k] = unless(top, scale[k] * curve[k]);
        gaps[first + k] = y[k] - down;
      }
    }
    row.sums.sum.add((e[0] + e[1]) + (e[2] + e[3]));
    if (entropy) row.sums.weighted.add(fma(e[0], gaps[0], e[1] * gaps[1]) + fma(e[2], gaps[2], e[3] * gaps[3]));
  }
  row.equals = static_cast<double>(sum(count)) - 1.0;
}

// A row without an ordinary largest x: one +inf is certain; two of them, only -inf, or a NaN anywhere give NaN.
template <typename Logit, typename Transform>
inline __attribute__((noinline)) RowSum unusual_row(const typename Logit::Element* p, int64_t V, Transform transform) {
  int64_t certain = 0;
  bool nan = false;
  for (int64_t i = 0; i < V; i += 16) {
    const int64_t n = V - i < 16 ? V - i : 16;
    const f32x16 x = transform(load_some<Logit>(p + i, n));
    nan = nan || any(is_nan(x) & first16(n));
    certain += __builtin_popcount(bits(equal(x, f32x16::set(kInfinity)) & first16(n)));
  }
  RowSum row;
  const bool good = certain == 1 && !nan;
  row.largest = good ? kInfinity : std::numeric_limits<float>::quiet_NaN();
  if (!good) row.total = row.moment = std::numeric_limits<double>::quiet_NaN();
  return row;
}

// The terms of a chunk with base 0. `bounded`: whether x may be so low that it must be bounded, found out by the way.
template <bool entropy, typename From>
PREFGRAD_INLINE Terms plain_terms(From source, int64_t n, float reference, bool& bounded) {
  if (kAnyPower && !entropy && !bounded) {
    const Terms terms = terms_of<false, true>(source, n, 0.0f, reference);
    if (terms.finite()) return terms;
    bounded = true;
  }
  return terms_of<entropy, false>(source, n, 0.0f, reference);
}

// A row whose largest x is an ordinary number from the first chunk on. False: this is none, or NaN.
template <bool entropy, typename Logit, typename Transform>
PREFGRAD_INLINE bool sum_plain_row(const typename Logit::Element* p, int64_t V, Transform transform, RowSum& row) {
  TermSums with_top, others;  // of the chunk that the largest x comes from, and of all others
  float largest = -kInfinity, reference = largest;
  bool bounded = !kAnyPower, plain = true;
  int64_t top_at = 0;
  for (int64_t at = 0, taken; at < V && plain; at += taken) {
    with_chunk<Logit>(p, V, at, transform, [&](auto source, int64_t n) PREFGRAD_BODY {
      taken = n;
      if (entropy && at == 0) {
        reference = largest_of(source, n);
        plain = is_plain(reference);
        if (!plain) return;
      }
      Terms terms = plain_terms<entropy>(source, n, reference, bounded);
      if (!terms.exceeds(largest)) return others.add(terms.sums);
      const float top = terms.largest();
      plain = is_plain(top);
      others.add(with_top);
      if (entropy) {
        const double down = static_cast<double>(reference) - static_cast<double>(top);
        others.shift(down);
        terms.sums.shift(down);
      }
      with_top = terms.sums;
      largest = reference = top;
      top_at = at;
    });
  }
  if (!plain || largest == -kInfinity) return false;
  row.largest = largest;
  row.sums = others;
  const double own = unit_power_f32(largest), all = others.sum.total() + with_top.sum.total();
  if (all > 4.0 * own) {
    row.sums.add(with_top);
    row.total = -own;
    return true;
  }
  with_chunk<Logit>(p, V, top_at, transform, [&](auto source, int64_t n) PREFGRAD_BODY { add_raised<entropy>(row, source, n); });
  return all == all;
}

// Any other, with the largest x so far as its base.
template <bool entropy, typename Logit, typename Transform>
inline __attribute__((noinline)) RowSum sum_any_row(const typename Logit::Element* p, int64_t V, Transform transform) {
  RowSum row;
  for (int64_t at = 0, taken; at < V; at += taken) {
    with_chunk<Logit>(p, V, at, transform, [&](auto source, int64_t n) PREFGRAD_BODY {
      taken = n;
      const float top = largest_of(source, n);
      if (top > row.largest) {
        row.raise(top);
        return add_raised<entropy>(row, source, n);
      }
      Terms terms = terms_of<entropy, false>(source, n, row.base, row.largest);
      if (row.largest == -kInfinity) terms.sums.weighted = Sum16{};  // nothing but -inf so far, or NaN, which the sum shows
      row.sums.add(terms.sums);
    });
  }
  return row;
}

template <bool entropy, typename Logit, typename Transform>
PREFGRAD_INLINE RowSum sum_row(const typename Logit::Element* p, int64_t V, Transform transform) {
  RowSum row;
  if (!sum_plain_row<entropy, Logit>(p, V, transform, row)) row = sum_any_row<entropy, Logit>(p, V, transform);
  row.finish();
  return row.total == row.total && std::fabs(row.largest) < kInfinity ? row : unusual_row<Logit>(p, V, transform);
}

}  // namespace prefgrad::PREFGRAD_ISA
