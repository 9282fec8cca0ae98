// See token_logprobs.h. A row is read from memory once, in chunks. What a chunk adds is found before it is known whether one of
// its x is larger than all before. Where one is, its term is taken out again; only where it is most of what the chunk adds,
// and too little would be right of what is left, the chunk is taken a second time, out of the cache.
//
// A term is kUnit e^(x - base). Rows whose largest x is an ordinary number have base 0, which saves the subtraction and its
// rounding; in others it is the largest x. Eight vectors of terms are added pairwise in f32 before they are widened to f64.
#pragma once
#include "logits.cpu.h"
#include "token_logprobs.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr int64_t kLogitChunk = 2048;  // elements; part of the result's bits
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// With base 0 and the largest x between these, terms and sums of eight fit f32, and whatever the largest x leaves of the
// others in f32 is not lost to underflow.
constexpr float kLeastPlain = -7.0f, kMostPlain = 43.0f;
PREFGRAD_INLINE bool is_plain(float largest) { return largest > kLeastPlain && largest < kMostPlain; }
constexpr float kLeastGap = -131.0f;  // kUnit e^gap is 0 in f32 below it

// y -> kUnit e^y as 2^n kUnit e^r with n = y / ln 2 rounded, r = y - n ln 2. The polynomial is a minimax fit of the relative
// error; a kUnit was looked for by which its coefficients lose little when they are rounded: 1.3e-7 with all roundings, where
// with 1 for kUnit 1.5e-7 would come from a polynomial of this degree alone. The powers of 2 in it make room below.
constexpr double kUnit = 1.2717428388080774 * 0x1p34;
constexpr float kLn2F = static_cast<float>(kLn2High + kLn2Low);
PREFGRAD_INLINE void powers(const f32x16 (&ys)[4], f32x16 (&terms)[4]) {
  const f32x16 rounder = f32x16::set(kRounder), log2_e = f32x16::set(static_cast<float>(kLog2E));
  for (int first = 0; first < 4; first += kAbreast) {
    const f32x16* y = ys + first;
    f32x16 *e = terms + first, sum[kAbreast], n[kAbreast], r[kAbreast];
    PREFGRAD_ABREAST sum[k] = fma(y[k], log2_e, rounder);
    PREFGRAD_ABREAST n[k] = sum[k] - rounder;
    PREFGRAD_ABREAST r[k] = fnma_once(n[k], f32x16::set(kLn2F), y[k]);
    PREFGRAD_ABREAST e[k] = fma(f32x16::set(0x1.59c7f0p+27f), r[k], f32x16::set(0x1.b4af2ap+29f));
    PREFGRAD_ABREAST e[k] = fma(e[k], r[k], f32x16::set(0x1.b21caap+31f));
    PREFGRAD_ABREAST e[k] = fma(e[k], r[k], f32x16::set(0x1.458f18p+33f));
    PREFGRAD_ABREAST e[k] = fma(e[k], r[k], f32x16::set(0x1.4590eap+34f));
    PREFGRAD_ABREAST e[k] = fma(e[k], r[k], f32x16::set(0x1.4590f2p+34f));
    PREFGRAD_ABREAST e[k] = shrink_by_power(e[k], n[k], sum[k]);
  }
}
// By so much kLn2F is too large: a term that has n of them is too large by kExcess per unit of x that it lies below 0, and
// compared with the largest term by as much per unit of x between the two.
constexpr double kExcess = kLn2F / (kLn2High + kLn2Low) - 1.0;
// The same in f64, with that in it.
inline double power_of(double y) { return kUnit * exp_of(y * (1.0 - kExcess)); }

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

// What is known of a row: the largest x, how many others equal it (of those that were counted, not added), and the sums of
// all terms but those, in units of kUnit e^-base.
struct RowSum {
  float largest = -kInfinity, base = 0.0f;
  bool bounded = !kAnyPower;  // whether x - base may be so low that it must be bounded
  double equals = 0.0, total = 0.0, moment = 0.0;
  Sum16 sum, weighted;

  PREFGRAD_INLINE bool plain() const { return base == 0.0f && !bounded; }
  PREFGRAD_INLINE void take(const Terms& terms) {
    sum.add(terms.sum.low, terms.sum.high);
    weighted.add(terms.weighted.low, terms.weighted.high);
  }
  // Takes terms of base 0 with a larger x among them, if what is left of them without it is right.
  template <bool entropy>
  PREFGRAD_INLINE bool take_raised(const Terms& terms) {
    const float top = terms.largest(), before = largest;
    if (base != 0.0f || !is_plain(top) || (entropy && before == -kInfinity)) return false;
    const f32x16 tops[4] = {f32x16::set(top), f32x16::set(top), f32x16::set(top), f32x16::set(top)};
    f32x16 own[4];
    powers(tops, own);
    float lanes[16];
    store(lanes, own[0]);
    const double added = terms.sum.total();
    if (!(added > 4.0 * lanes[0])) return false;
    raise(top);
    take(terms);
    total -= lanes[0];
    if (entropy) moment += added * (static_cast<double>(before) - static_cast<double>(top));
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
      total += (1.0 + equals) * power_of(gap(largest));
      moment += total * (static_cast<double>(largest) - static_cast<double>(top));
      const double shrink = power_of(gap(next)) / kUnit;
      total /= shrink;
      moment /= shrink;
    }
    equals = 0.0;
    largest = top;
    base = next;
  }
  // The sums of e^(x - largest), without one occurrence of the largest, and of e^(x - largest) (x - largest).
  PREFGRAD_INLINE void finish() {
    settle();
    const double unit = power_of(gap(largest));
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
  const typename Logit::Element* logits;
  Transform transform;
  PREFGRAD_INLINE void load64(int64_t i, f32x16 (&x)[4]) const {
    Logit::load64(logits + i, x);
    for (int k = 0; k < 4; ++k) x[k] = transform(x[k]);
  }
};
using Copies = Source<LogitF32, Untouched>;

// n x, a multiple of 128. `plain`: the base is 0, and -inf makes the sum NaN.
template <bool entropy, bool plain, typename From>
PREFGRAD_INLINE Terms terms_of(From source, int64_t n, float base, float largest) {
  const f32x16 bases = f32x16::set(base), largests = f32x16::set(largest), least = f32x16::set(kLeastGap);
  Terms out;
  for (int64_t i = 0; i < n; i += 128) {
    f32x16 part[2], drift[2];
    for (int half = 0; half < 2; ++half) {
      f32x16 x[4], e[4];
      source.load64(i + 64 * half, x);
      for (int k = 0; k < 4; ++k) {
        out.top[k & 1] = maximum(x[k], out.top[k & 1]);
        if (!plain) x[k] = maximum(least, x[k] - bases);
      }
      powers(x, e);
      part[half] = (e[0] + e[1]) + (e[2] + e[3]);
      if (entropy) {
        const f32x16 down = largests - bases;
        for (int k = 0; k < 4; ++k) x[k] = x[k] - down;
        drift[half] = fma(e[0], x[0], e[1] * x[1]) + fma(e[2], x[2], e[3] * x[3]);
      }
    }
    out.sum.add(part[0] + part[1]);
    if (entropy) out.weighted.add(drift[0] + drift[1]);
  }
  return out;
}
template <bool entropy>
inline __attribute__((noinline)) Terms terms_of_copies(const float* x, int64_t n, const RowSum& row) {
  return terms_of<entropy, false>(Copies{x, {}}, n, row.base, row.largest);
}

// The same for a chunk that the largest comes from: all that equal it are counted, not added, and one is left out.
template <bool entropy>
inline __attribute__((noinline)) void add_raised(RowSum& row, const float* x, int64_t n) {
  const f32x16 zero = f32x16::set(0.0f), one = f32x16::set(1.0f);
  const f32x16 bases = f32x16::set(row.base), largests = f32x16::set(row.largest), least = f32x16::set(kLeastGap);
  const f32x16 down = largests - bases;
  f32x16 count = zero;
  for (int64_t i = 0; i < n; i += 64) {
    f32x16 y[4], e[4];
    m16 top[4];
    for (int k = 0; k < 4; ++k) {
      y[k] = f32x16::load(x + i + 16 * k);
      top[k] = equal(y[k], largests);
      y[k] = maximum(least, y[k] - bases);
    }
    powers(y, e);
    for (int k = 0; k < 4; ++k) {
      count = count + select(top[k], one, zero);
      e[k] = select(top[k], zero, e[k]);
      y[k] = y[k] - down;
    }
    row.sum.add((e[0] + e[1]) + (e[2] + e[3]));
    if (entropy) row.weighted.add(fma(e[0], y[0], e[1] * y[1]) + fma(e[2], y[2], e[3] * y[3]));
  }
  row.equals = static_cast<double>(sum(count)) - 1.0;
}

// Copies n x, filled up with -inf to a multiple of 128, and returns the largest. NaN is passed over.
template <typename Logit, typename Transform>
PREFGRAD_INLINE float copy_chunk(const typename Logit::Element* logits, int64_t n, Transform transform, float* copy) {
  f32x16 top = f32x16::set(-kInfinity);
  for (int64_t i = 0; i < (n + 127) / 128 * 128; i += 16) {
    const int64_t left = n - i > 16 ? 16 : n - i > 0 ? n - i : 0;
    const f32x16 some = transform(left == 16 ? Logit::load(logits + i) : load_some<Logit>(logits + i, left));
    const f32x16 x = select(first16(left), some, f32x16::set(-kInfinity));
    top = maximum(x, top);
    store(copy + i, x);
  }
  return largest(top);
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
inline bool has_nan(const float* x, int64_t n) {
  m16 nan = first16(0);
  for (int64_t i = 0; i < n; i += 16) nan = nan | is_nan(f32x16::load(x + i));
  return any(nan);
}

template <bool entropy, typename Logit, typename Transform>
PREFGRAD_INLINE RowSum sum_row(const typename Logit::Element* p, int64_t V, Transform transform) {
  alignas(64) float copy[kLogitChunk];
  RowSum row;
  for (int64_t begin = 0, n; begin < V; begin += n) {
    const int64_t whole = (V - begin) / 128 * 128;
    n = whole == 0 ? V - begin : whole < kLogitChunk ? whole : kLogitChunk;
    if (whole != 0) {
      const Source<Logit, Transform> source{p + begin, transform};
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
        continue;
      }
      if (row.template take_raised<entropy>(terms)) continue;
    }
    // Too few for a vector of eight, or with a larger x that has to stay out.
    const float top = copy_chunk<Logit>(p + begin, n, transform, copy);
    const int64_t filled = (n + 127) / 128 * 128;
    if (top == kInfinity) return unusual_row<Logit>(p, V, transform);
    if (top > row.largest) {
      row.raise(top);
      add_raised<entropy>(row, copy, filled);
    } else if (row.largest != -kInfinity) {
      row.take(terms_of_copies<entropy>(copy, filled, row));
    } else if (has_nan(copy, filled)) {
      return unusual_row<Logit>(p, V, transform);
    }
  }
  row.finish();
  return row.total != row.total || row.largest == -kInfinity ? unusual_row<Logit>(p, V, transform) : row;
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
