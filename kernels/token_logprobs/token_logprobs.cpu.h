// See token_logprobs.h. A row is read from memory once, in chunks. What a chunk adds is found before it is known whether one of
// its x is larger than all before. Where one is, its term is taken out again; only where that is a large part of the row's sum
// so far, and too little would be right of what is left, the chunk is taken a second time, out of the cache.
//
// A term is kUnit e^(x - base). Rows whose largest x is an ordinary number have base 0, which saves the subtraction and its
// rounding; in others it is the largest x. Sixteen vectors of terms are added in f32, four by four, before they are widened.
#pragma once
#include <type_traits>

#include "logits.cpu.h"
#include "token_logprobs.h"
#include "unit_powers.cpu.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr int64_t kLogitChunk = 4096;  // elements; part of the result's bits
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// With base 0 and the largest x between these, terms and sums of sixteen fit f32, and whatever the largest x leaves of the
// others in f32 is not lost to underflow.
constexpr float kLeastPlain = -7.0f, kMostPlain = 43.0f;
PREFGRAD_INLINE bool is_plain(float largest) { return largest > kLeastPlain && largest < kMostPlain; }
constexpr float kLeastGap = -131.0f;  // kUnit e^gap is 0 in f32 below it

// What some x add: their terms, and times x - largest; and the largest of them (of each lane). NaN is passed over there: the
// sum will show it.
struct Terms {
  Sum16 sum, weighted;
  f32x16 top[2] = {f32x16::set(-kInfinity), f32x16::set(-kInfinity)};

  PREFGRAD_INLINE bool exceeds(float largest) const {
    return any(less(f32x16::set(largest), maximum(top[0], top[1])));
  }
  PREFGRAD_INLINE float largest() const { return prefgrad::PREFGRAD_ISA::largest(maximum(top[0], top[1])); }
  PREFGRAD_INLINE bool finite() const {
    const f64x8 all = sum.low + sum.high, zero = f64x8::set(0.0);
    return !any(~equal(all - all, zero));
  }
};

// What is known of a row: the largest x and its own term, how many others equal it (of those that were counted, not added),
// and the sums of all terms but those, in units of kUnit e^-base.
struct RowSum {
  float largest = -kInfinity, base = 0.0f;
  bool bounded = !kAnyPower;  // whether x - base may be so low that it must be bounded
  double own = 0.0, equals = 0.0, total = 0.0, moment = 0.0;
  Sum16 sum, weighted;

  PREFGRAD_INLINE bool plain() const { return base == 0.0f && !bounded; }
  PREFGRAD_INLINE void take(const Terms& terms) {
    sum.add(terms.sum.low, terms.sum.high);
    weighted.add(terms.weighted.low, terms.weighted.high);
  }
  // Takes terms of base 0 that the largest x is one of, if the sum without it is right. `before` was the largest until then.
  template <bool entropy>
  PREFGRAD_INLINE bool take_raised(const Terms& terms, float before) {
    if (entropy && before == -kInfinity) return false;
    const double added = terms.sum.total();
    if (!(total + added > 4.0 * own)) return false;
    take(terms);
    total -= own;
    if (entropy) moment += added * (static_cast<double>(before) - static_cast<double>(largest));
    return true;
  }
  PREFGRAD_INLINE void settle() {
    total += sum.total();
    moment += weighted.total();
    sum = weighted = Sum16{};
  }
  double gap(double x) const { return x - static_cast<double>(base); }
  // A larger x was found: the old largest joins the others.
  void raise(float top) {
    settle();
    const float next = is_plain(top) ? 0.0f : top;
    if (largest != -kInfinity) {
      total += (1.0 + equals) * own;
      moment += total * (static_cast<double>(largest) - static_cast<double>(top));
      const double shrink = next == base ? 1.0 : unit_power_of(gap(next)) / kUnit;
      total /= shrink;
      moment /= shrink;
    }
    equals = 0.0;
    largest = top;
    base = next;
    own = next == top ? kUnit : unit_power_f32(top);
  }
  // The sums of e^(x - largest), without one occurrence of the largest, and of e^(x - largest) (x - largest).
  PREFGRAD_INLINE void finish() {
    settle();
    const double unit = unit_power_of(gap(largest));
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

// Where 64 x come from: logits, or f32 that were made of them.
template <typename Logit, typename Transform>
struct Source {
  static constexpr bool kPlainBf16 = std::is_same_v<Logit, LogitBf16> && Transform::kIdentity;
  const typename Logit::Element* logits;
  Transform transform;
  PREFGRAD_INLINE void load64(int64_t i, f32x16 (&x)[4]) const {
    Logit::load64(logits + i, x);
    for (int k = 0; k < 4; ++k) x[k] = transform(x[k]);
  }
};
using Copies = Source<LogitF32, Untouched>;

// The largest of n x (of each lane of two vectors).
template <typename From>
inline __attribute__((noinline)) void find_largest(From source, int64_t n, f32x16 (&top)[2]) {
  top[0] = top[1] = f32x16::set(-kInfinity);
  for (int64_t i = 0; i < n; i += 64) {
    f32x16 x[4];
    source.load64(i, x);
    for (int k = 0; k < 4; ++k) top[k & 1] = maximum(x[k], top[k & 1]);
  }
}

// n x, a multiple of 64. `plain`: the base is 0, and -inf makes the sum NaN.
template <bool entropy, bool plain, typename From>
PREFGRAD_INLINE Terms terms_of(From source, int64_t n, float base, float largest) {
  const f32x16 bases = f32x16::set(base), down = f32x16::set(largest) - bases, least = f32x16::set(kLeastGap);
  const UnitPowers powers;
  Terms out;
  bf16x32 raw_top = bf16x32::set(0xff80);  // -inf
  const auto add = [&](int64_t i, int count) PREFGRAD_BODY {  // up to four times 64
    f32x16 part[4], drift[4];
    for (int step = 0; step < count; ++step) {
      f32x16 x[4], scale[4], curve[4];
      source.load64(i + 64 * step, x);
      if constexpr (From::kPlainBf16) {
        const uint16_t* p = source.logits + i + 64 * step;
        raw_top = larger_positive(larger_positive(raw_top, bf16x32::load(p)), bf16x32::load(p + 32));
      }
      for (int k = 0; k < 4; ++k) {
        if (!From::kPlainBf16) out.top[k & 1] = maximum(x[k], out.top[k & 1]);
        if (!plain) x[k] = maximum(least, x[k] - bases);
      }
      powers(x, scale, curve);
      for (int k = 0; k < 4; ++k) {
        part[k] = step == 0 ? scale[k] * curve[k] : fma(scale[k], curve[k], part[k]);
        if (!entropy) continue;
        const f32x16 gap = x[k] - down, e = scale[k] * curve[k];
        drift[k] = step == 0 ? e * gap : fma(e, gap, drift[k]);
      }
    }
    out.sum.add((part[0] + part[1]) + (part[2] + part[3]));
    if (entropy) out.weighted.add((drift[0] + drift[1]) + (drift[2] + drift[3]));
  };
  int64_t i = 0;
  for (; i + 256 <= n; i += 256) add(i, 4);
  if (i < n) add(i, static_cast<int>((n - i) / 64));
  if constexpr (From::kPlainBf16) {
    out.top[0] = raw_top.even();
    out.top[1] = raw_top.odd();
    // Without a positive x, and the largest of the row negative, they say nothing.
    if (largest < 0.0f && !any(less_equal(f32x16::set(0.0f), maximum(out.top[0], out.top[1])))) find_largest(source, n, out.top);
  }
  return out;
}
// The same for a chunk that the largest comes from: all that equal it are counted, not added, and one is left out.
template <bool entropy, typename From>
inline __attribute__((noinline)) void add_raised(RowSum& row, From source, int64_t n) {
  const f32x16 zero = f32x16::set(0.0f), one = f32x16::set(1.0f);
  const f32x16 bases = f32x16::set(row.base), largests = f32x16::set(row.largest), least = f32x16::set(kLeastGap);
  const f32x16 down = largests - bases;
  const UnitPowers powers;
  f32x16 count = zero;
  for (int64_t i = 0; i < n; i += 64) {
    f32x16 y[4], scale[4], curve[4], e[4];
    m16 top[4];
    source.load64(i, y);
    for (int k = 0; k < 4; ++k) {
      top[k] = equal(y[k], largests);
      y[k] = maximum(least, y[k] - bases);
    }
    powers(y, scale, curve);
    for (int k = 0; k < 4; ++k) {
      count = count + select(top[k], one, zero);
      e[k] = select(top[k], zero, scale[k] * curve[k]);
      y[k] = y[k] - down;
    }
    row.sum.add((e[0] + e[1]) + (e[2] + e[3]));
    if (entropy) row.weighted.add(fma(e[0], y[0], e[1] * y[1]) + fma(e[2], y[2], e[3] * y[3]));
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

// Adds n x, a multiple of 64. False: +inf is among them.
template <bool entropy, typename From>
PREFGRAD_INLINE bool add_chunk(RowSum& row, From source, int64_t n) {
  const bool plain = kAnyPower && !entropy && row.plain();
  Terms terms = plain ? terms_of<false, true>(source, n, 0.0f, row.largest)
                      : terms_of<entropy, false>(source, n, row.base, row.largest);
  if (plain && !terms.finite()) {
    row.bounded = true;
    terms = terms_of<false, false>(source, n, 0.0f, row.largest);
  }
  if (!terms.exceeds(row.largest)) {
    if (row.largest == -kInfinity) terms.weighted = Sum16{};  // nothing but -inf so far, or NaN, which the sum shows
    row.take(terms);
    return true;
  }
  const float top = terms.largest(), before = row.largest, base = row.base;
  if (top == kInfinity) return false;
  row.raise(top);
  const bool same_base = base == row.base;  // only 0 stays
  if (!same_base || !row.template take_raised<entropy>(terms, before)) add_raised<entropy>(row, source, n);
  return true;
}

template <bool entropy, typename Logit, typename Transform>
PREFGRAD_INLINE RowSum sum_row(const typename Logit::Element* p, int64_t V, Transform transform) {
  RowSum row;
  bool ordinary = true;
  const int64_t whole = V / 64 * 64;
  for (int64_t begin = 0; begin < whole && ordinary; begin += kLogitChunk) {
    const int64_t n = whole - begin < kLogitChunk ? whole - begin : kLogitChunk;
    ordinary = add_chunk<entropy>(row, Source<Logit, Transform>{p + begin, transform}, n);
  }
  if (whole < V && ordinary) {
    float rest[64];
    for (int64_t i = whole; i < whole + 64; i += 16) {
      const int64_t n = V - i > 16 ? 16 : V - i > 0 ? V - i : 0;
      store(rest + i - whole, select(first16(n), transform(load_some<Logit>(p + i, n)), f32x16::set(-kInfinity)));
    }
    ordinary = add_chunk<entropy>(row, Copies{rest, {}}, 64);
  }
  row.finish();
  ordinary = ordinary && row.total == row.total && row.largest != -kInfinity;
  return ordinary ? row : unusual_row<Logit>(p, V, transform);
}

template <typename Logit>
inline void token_logprobs(const TokenLogprobs& a, int64_t begin, int64_t end, int) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const auto write = [&](int64_t i, float logprob, float row_max, float log_sum, float entropy) {
    a.logprob[i] = logprob;
    a.row_max[i] = row_max;
    a.log_sum[i] = log_sum;
    if (a.entropy != nullptr) a.entropy[i] = entropy;
  };
  with_transform(a, [&](auto transform) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t token = a.tokens[i];
      if (token == a.ignore_index) {
        write(i, 0.0f, 0.0f, 0.0f, 0.0f);
        continue;
      }
      if (token < 0 || token >= a.V) {
        a.fault->report(1, i);
        write(i, nan, nan, nan, nan);
        continue;
      }
      const auto* p = static_cast<const typename Logit::Element*>(a.logits) + i * a.V;
      const RowSum row = a.entropy != nullptr ? sum_row<true, Logit>(p, a.V, transform)
                                              : sum_row<false, Logit>(p, a.V, transform);
      const double log_sum = log1p_of(row.total);
      float x[16];
      store(x, transform(load_some<Logit>(p + token, 1)));
      const double gap = x[0] == row.largest ? 0.0 : static_cast<double>(x[0]) - static_cast<double>(row.largest);
      write(i, static_cast<float>(gap - log_sum), row.largest, static_cast<float>(log_sum),
            static_cast<float>(log_sum - row.moment / (1.0 + row.total)));
    }
  });
}

}  // namespace prefgrad::PREFGRAD_ISA
