// What losses on tokens share: denominators, chunks, partial sums and their order. Passes, with lib/spec/common.ts:
//   prepare       per sequence: valid tokens (and what a term must know of its whole sequence)
//   coefficients  the denominator of the aggregate
//   terms         per chunk of 4096 tokens of a sequence (packed: per sequence, chunk by chunk): gradients and partial sums
//   finish        partial sums added chunk by chunk within a sequence, then sequence by sequence
// An argument struct has B, T, N, aggregate, count_empty, normalizer, grad_scale, valid, offsets, loss, workspace, fault.
#pragma once
#include "sequences.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr int64_t kTokenChunk = 4096;
constexpr int64_t kHeaderWords = 8, kSequenceWords = 4, kChunkWords = 16;

// Codes of `aggregate`.
enum Aggregate { kTokenMean = 0, kSequenceMean = 1, kSequenceMeanTokenSum = 2, kTokenSum = 3 };

struct TokenHeader {
  double tokens, sequences;  // those that count: valid tokens, and sequences with any
  double denominator;        // of this call
  double divisor;            // normalizer, or the denominator
  double offsets_hold;
};
struct TokenSequence {
  double count;  // valid tokens
  double ratio, pull;  // ppoPolicyLoss with sequence ratios
};
static_assert(sizeof(TokenHeader) <= 8 * kHeaderWords && sizeof(TokenSequence) <= 8 * kSequenceWords, "workspace");

template <typename Args>
PREFGRAD_INLINE TokenHeader& header_of(const Args& a) {
  return *reinterpret_cast<TokenHeader*>(a.workspace);
}
template <typename Args>
PREFGRAD_INLINE TokenSequence& sequence_of(const Args& a, int64_t b) {
  return *reinterpret_cast<TokenSequence*>(a.workspace + kHeaderWords + b * kSequenceWords);
}
template <typename Sums, typename Args>
PREFGRAD_INLINE Sums& sums_of(const Args& a, int64_t item) {
  static_assert(sizeof(Sums) <= 8 * kChunkWords, "workspace");
  return *reinterpret_cast<Sums*>(a.workspace + kHeaderWords + a.B * kSequenceWords + item * kChunkWords);
}

// Work items of one sequence. Lengths of packed sequences are not known to the host, so that there one item does it all.
template <typename Args>
PREFGRAD_INLINE int64_t items_per_sequence(const Args& a) {
  return a.offsets != nullptr ? 1 : (a.T + kTokenChunk - 1) / kTokenChunk;
}

// The factor of a term in the numerator of the loss.
template <typename Args>
PREFGRAD_INLINE double share_of(const Args& a, double count) {
  return a.aggregate == kSequenceMean ? 1.0 / count : 1.0;
}

// The factor of a term's gradient.
template <typename Args>
PREFGRAD_INLINE double coefficient_of(const Args& a, double count) {
  return count > 0.0 ? a.grad_scale * share_of(a, count) / header_of(a).divisor : 0.0;
}

template <typename Args>
inline void token_prepare(const Args& a, int64_t begin, int64_t end) {
  if (!offsets_hold(a)) return;
  for (int64_t b = begin; b < end; ++b) {
    sequence_of(a, b).count = static_cast<double>(count_valid(a.valid, span_of(a, b)));
  }
}

template <typename Args>
inline void token_coefficients(const Args& a) {
  TokenHeader& h = header_of(a);
  h = {};
  h.offsets_hold = offsets_hold(a);
  if (h.offsets_hold == 0.0) return;
  for (int64_t b = 0; b < a.B; ++b) {
    h.tokens += sequence_of(a, b).count;
    h.sequences += sequence_of(a, b).count > 0.0;
  }
  const double counted = a.count_empty == 1 ? static_cast<double>(a.B) : h.sequences;
  h.denominator = a.aggregate == kTokenMean ? h.tokens : a.aggregate == kTokenSum ? 1.0 : counted;
  h.divisor = a.normalizer == a.normalizer ? a.normalizer : h.denominator;
}

// Loss(a, b, shared...) holds what is constant over sequence b; chunk(first, count) writes the gradients of `count` tokens from
// flat index `first` on and returns their sums; Sums::merge adds those of a later chunk, to Sums::none() for a start.
template <typename Loss, typename Args, typename... Shared>
inline void token_terms(const Args& a, int64_t begin, int64_t end, const Shared&... shared) {
  if (header_of(a).offsets_hold == 0.0) return;
  const int64_t items = items_per_sequence(a);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / items;
    const Span s = span_of(a, b);
    const int64_t first = item % items * kTokenChunk;
    const int64_t stop = a.offsets == nullptr && first + kTokenChunk < s.length ? first + kTokenChunk : s.length;
    const Loss loss(a, b, shared...);
    auto sums = Loss::Sums::none();
    for (int64_t i = first; i < stop; i += kTokenChunk) {
      sums.merge(loss.chunk(s.start + i, i + kTokenChunk < stop ? kTokenChunk : stop - i));
    }
    sums_of<typename Loss::Sums>(a, item) = sums;
  }
}

// Adds everything up and writes the loss; returns the sums, and `numerator` for stats.
template <typename Sums, typename Args>
inline Sums token_finish(const Args& a, double& numerator) {
  const int64_t items = items_per_sequence(a);
  Sums all = Sums::none();
  numerator = 0.0;
  for (int64_t b = 0; b < a.B; ++b) {
    const double count = sequence_of(a, b).count;
    if (count == 0.0) continue;
    Sums sums = Sums::none();
    for (int64_t k = 0; k < items; ++k) sums.merge(sums_of<Sums>(a, b * items + k));
    numerator += share_of(a, count) * sums.term;
    all.merge(sums);
  }
  const double divisor = header_of(a).divisor;
  a.loss[0] = divisor > 0.0 ? static_cast<float>(numerator / divisor) : 0.0f;
  return all;
}

PREFGRAD_INLINE int count_lanes(m8 m) { return __builtin_popcount(bits(m)); }

// Extremes that keep a NaN.
PREFGRAD_INLINE double smaller(double a, double b) { return a < b || a != a ? a : b; }
PREFGRAD_INLINE double larger(double a, double b) { return a > b || a != a ? a : b; }
struct Extremes {
  f64x8 least = f64x8::set(std::numeric_limits<double>::infinity());
  f64x8 most = f64x8::set(-std::numeric_limits<double>::infinity());
  m8 bad = first8(0);

  // minimum and maximum pass over a NaN in their first argument, which leaves out what does not count.
  PREFGRAD_INLINE void add(f64x8 x, m8 valid) {
    bad = bad | (is_nan(x) & valid);
    x = select(valid, x, f64x8::set(kNaN));
    least = minimum(x, least);
    most = maximum(x, most);
  }
  PREFGRAD_INLINE double min() const { return fold(least, smaller); }
  PREFGRAD_INLINE double max() const { return fold(most, larger); }

 private:
  template <typename Choose>
  PREFGRAD_INLINE double fold(f64x8 x, Choose choose) const {
    if (any(bad)) return kNaN;
    double lanes[8];
    store(lanes, x);
    for (int l = 1; l < 8; ++l) lanes[0] = choose(lanes[l], lanes[0]);
    return lanes[0];
  }
};

}  // namespace prefgrad::PREFGRAD_ISA
