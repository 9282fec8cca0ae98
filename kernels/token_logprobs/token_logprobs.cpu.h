// See token_logprobs.h. A row is read from memory once, in chunks: while the e^(x - largest so far) of one chunk are
// added up, the next is loaded and its largest x found, so that memory is always busy and nothing is computed twice.
// Four f32 vectors are added pairwise before they are widened to f64; the sums shrink when the largest grows.
#pragma once
#include "logits.cpu.h"
#include "token_logprobs.h"

namespace prefgrad::PREFGRAD_ISA {

// Elements per chunk, part of the result's bits. At 1024 a chunk and the one ahead of it lie 4096 bytes apart, in the
// same sets of the cache, which costs a fifth of the speed.
constexpr int64_t kLogitChunk = 768;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What is known of a row: `others` is the sum of e^(x - largest) without one occurrence of the largest, `moment` the
// sum of e^(x - largest) (x - largest), to which the largest adds 0. The vectors are what chunks have added since.
struct RowSum {
  float largest = -kInfinity;
  double others = 0.0, moment = 0.0;
  Sum16 sum, weighted;

  PREFGRAD_INLINE void settle() {
    others += sum.total();
    moment += weighted.total();
    sum = weighted = Sum16{};
  }
  // What exp_gaps adds to its results matters where all gaps are wide: if few terms make up the sum, they lie about
  // -ln(sum) below the largest; if many do, their roundings cancel out by far more than what is left of this.
  PREFGRAD_INLINE void take_excess() {
    if (!(others > 0.0 && others < 1.0)) return;
    const double share = 1.0 + kGapExcess * log_of(others);
    others *= share;
    moment *= share;
  }
  // A larger x was found: all so far shrinks, and the old largest joins the others.
  PREFGRAD_INLINE void raise(float top) {
    settle();
    if (largest != -kInfinity) {
      const double gap = static_cast<double>(largest) - static_cast<double>(top), shrink = exp_of(gap);
      moment = shrink * (moment + gap * (others + 1.0));
      others = shrink * (others + 1.0);
    }
    largest = top;
  }
};

// The x of a chunk as they come, and the largest of them. NaN is passed over: the sum will show it.
template <typename Logit, typename Transform>
struct Look {
  const typename Logit::Element* logits;
  float* copy;  // where the x go; null when they are the logits themselves
  Transform transform;
  f32x16 top[2] = {f32x16::set(-kInfinity), f32x16::set(-kInfinity)};

  PREFGRAD_INLINE void at(int64_t i, int lane) {
    const f32x16 x = transform(Logit::load(logits + i));
    top[lane] = maximum(x, top[lane]);
    if (copy != nullptr) store(copy + i, x);
  }
  PREFGRAD_INLINE float largest() const { return prefgrad::PREFGRAD_ISA::largest(maximum(top[0], top[1])); }
};
struct NoLook {
  PREFGRAD_INLINE void at(int64_t, int) {}
};

// A chunk that was not looked at ahead: the first, one behind a raised one, and a last one that is not whole. Its
// copy is filled up with -inf to a multiple of 64.
template <typename Logit, typename Transform>
inline float look_at(Look<Logit, Transform> look, int64_t n) {
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    for (int k = 0; k < 4; ++k) look.at(i + 16 * k, k & 1);
  }
  for (; i < n; i += 64) {
    for (int k = 0; k < 64; k += 16) {
      const int64_t left = n - i - k > 16 ? 16 : n - i - k > 0 ? n - i - k : 0;
      const f32x16 some = look.transform(load_some<Logit>(look.logits + i + k, left));
      const f32x16 x = select(first16(left), some, f32x16::set(-kInfinity));
      look.top[0] = maximum(x, look.top[0]);
      store(look.copy + i + k, x);
    }
  }
  return look.largest();
}

// Adds n (a multiple of 64) x, none above the largest.
template <bool entropy, typename Next>
PREFGRAD_INLINE void add_chunk(RowSum& row, const float* x, int64_t n, Next& next) {
  const f32x16 largest = f32x16::set(row.largest);
  Sum16 sum = row.sum, weighted = row.weighted;
  for (int64_t i = 0; i < n; i += 64) {
    f32x16 gap[4], e[4];
    for (int k = 0; k < 4; ++k) {
      gap[k] = f32x16::load(x + i + 16 * k) - largest;
      next.at(i + 16 * k, k & 1);
    }
    exp_gaps4(gap, e);
    sum.add((e[0] + e[1]) + (e[2] + e[3]));
    if (entropy) weighted.add(fma(e[0], gap[0], e[1] * gap[1]) + fma(e[2], gap[2], e[3] * gap[3]));
  }
  row.sum = sum;
  row.weighted = weighted;
}

// The same for the chunk where the largest comes from: all that equal it are counted, not added, and one is left out.
template <bool entropy>
inline __attribute__((noinline)) void add_raised(RowSum& row, const float* x, int64_t n) {
  const f32x16 largest = f32x16::set(row.largest), zero = f32x16::set(0.0f), one = f32x16::set(1.0f);
  f32x16 count = zero;
  for (int64_t i = 0; i < n; i += 64) {
    f32x16 gap[4], e[4];
    for (int k = 0; k < 4; ++k) gap[k] = f32x16::load(x + i + 16 * k) - largest;
    exp_gaps4(gap, e);
    if (entropy) row.weighted.add(fma(e[0], gap[0], e[1] * gap[1]) + fma(e[2], gap[2], e[3] * gap[3]));
    for (int k = 0; k < 4; ++k) {
      const m16 top = equal(gap[k], zero);
      count = count + select(top, one, zero);
      e[k] = select(top, zero, e[k]);
    }
    row.sum.add((e[0] + e[1]) + (e[2] + e[3]));
  }
  row.others += static_cast<double>(sum(count)) - 1.0;
}
template <bool entropy>
inline __attribute__((noinline)) void add_last(RowSum& row, const float* x, int64_t n) {
  NoLook none;
  add_chunk<entropy>(row, x, n, none);
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
  if (!good) row.others = row.moment = std::numeric_limits<double>::quiet_NaN();
  return row;
}
inline bool has_nan(const float* x, int64_t n) {
  m16 nan = first16(0);
  for (int64_t i = 0; i < n; i += 16) nan = nan | is_nan(f32x16::load(x + i));
  return any(nan);
}

template <bool entropy, typename Logit, typename Transform>
PREFGRAD_INLINE RowSum sum_row(const typename Logit::Element* p, int64_t V, Transform transform) {
  constexpr bool kDirect = Transform::kIdentity && sizeof(typename Logit::Element) == 4;
  alignas(64) float copies[2][kLogitChunk];
  const int64_t last = (V - 1) / kLogitChunk, rest = V - last * kLogitChunk;
  const auto direct = [&](int64_t chunk) { return kDirect && (chunk < last || rest % 64 == 0); };
  const auto look = [&](int64_t chunk) {
    return Look<Logit, Transform>{p + chunk * kLogitChunk, direct(chunk) ? nullptr : copies[chunk & 1], transform};
  };
  const auto size = [&](int64_t chunk) { return chunk < last ? kLogitChunk : rest; };
  RowSum row;
  float top = look_at(look(0), size(0));
  for (int64_t chunk = 0; chunk <= last; ++chunk) {
    const float* x = direct(chunk) ? reinterpret_cast<const float*>(p + chunk * kLogitChunk) : copies[chunk & 1];
    const int64_t n = (size(chunk) + 63) / 64 * 64;
    if (top == kInfinity) return unusual_row<Logit>(p, V, transform);
    if (top > row.largest) {
      row.raise(top);
      add_raised<entropy>(row, x, n);
    } else if (row.largest == -kInfinity) {
      if (has_nan(x, n)) return unusual_row<Logit>(p, V, transform);
    } else if (chunk + 1 < last) {
      Look<Logit, Transform> next = look(chunk + 1);
      add_chunk<entropy>(row, x, n, next);
      top = next.largest();
      continue;
    } else {
      add_last<entropy>(row, x, n);
    }
    if (chunk < last) top = look_at(look(chunk + 1), size(chunk + 1));
  }
  row.settle();
  row.take_excess();
  return row.others != row.others || row.largest == -kInfinity ? unusual_row<Logit>(p, V, transform) : row;
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
      const double log_sum = log1p_of(row.others);
      float x[16];
      store(x, transform(load_some<Logit>(p + token, 1)));
      const double gap = x[0] == row.largest ? 0.0 : static_cast<double>(x[0]) - static_cast<double>(row.largest);
      write(i, static_cast<float>(gap - log_sum), row.largest, static_cast<float>(log_sum),
            static_cast<float>(log_sum - row.moment / (1.0 + row.others)));
    }
  });
}

}  // namespace prefgrad::PREFGRAD_ISA
