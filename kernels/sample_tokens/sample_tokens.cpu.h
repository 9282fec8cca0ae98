// See sample_tokens.h.
#pragma once
#include "../common/math.h"
#include "../common/philox.h"
#include "sample_tokens.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr float kWeightOne = 1073741824.0f;  // 2^30

// Calls body(i, x) with sixteen of V numbers from i on; those behind the last are `fill`.
template <typename Body>
PREFGRAD_INLINE void each16(const float* p, int64_t V, float fill, Body body) {
  int64_t i = 0;
  for (; i + 16 <= V; i += 16) body(i, f32x16::load(p + i));
  if (i < V) body(i, f32x16::load_first(p + i, V - i, fill));
}

// The largest of V numbers; NaN if any is.
inline float largest_or_nan(const float* p, int64_t V) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  f32x16 top = f32x16::set(-infinity);
  m16 nan = first16(0);
  each16(p, V, -infinity, [&](int64_t, f32x16 x) PREFGRAD_BODY {
    top = maximum(x, top);
    nan = nan | is_nan(x);
  });
  return any(nan) ? std::numeric_limits<float>::quiet_NaN() : largest(top);
}

inline int64_t first_equal(const float* p, int64_t V, float value) {
  for (int64_t i = 0; i < V; ++i) {
    if (p[i] == value) return i;
  }
  return -1;
}

// The largest rank in [low, high] that `enough` accepts; it accepts `low`, and all below one that it accepts.
template <typename Enough>
PREFGRAD_INLINE int64_t largest_rank(int64_t low, int64_t high, Enough enough) {
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    enough(middle) ? low = middle : high = middle - 1;
  }
  return low;
}
// f32 numbers in rising order, as integers, and back; both zeros are 0.
PREFGRAD_INLINE int64_t rank_of(float x) {
  int32_t i;
  std::memcpy(&i, &x, 4);
  return i >= 0 ? int64_t{i} : -int64_t{i & 0x7fffffff};
}
PREFGRAD_INLINE float of_rank(int64_t rank) {
  const uint32_t u = rank >= 0 ? static_cast<uint32_t>(rank) : static_cast<uint32_t>(-rank) | 0x80000000;
  float x;
  std::memcpy(&x, &u, 4);
  return x;
}

// The topK-th largest of V numbers, `top` the largest: the largest number that so many reach, found by bisection.
inline float kth_largest(const float* p, int64_t V, int64_t k, float top) {
  if (k >= V) return -std::numeric_limits<float>::infinity();
  const auto reach = [&](int64_t rank) {
    const f32x16 least = f32x16::set(of_rank(rank)), one = f32x16::set(1.0f), zero = f32x16::set(0.0f);
    f32x16 count = zero;  // exact up to 2^24 in each lane
    each16(p, V, -std::numeric_limits<float>::infinity(), [&](int64_t, f32x16 x) PREFGRAD_BODY {
      count = count + where(less_equal(least, x), one);
    });
    Sum16 reached;
    reached.add(count);
    return reached.total() >= static_cast<double>(k);
  };
  return of_rank(largest_rank(rank_of(-std::numeric_limits<float>::infinity()), rank_of(top), reach));
}

// The sum of the weights that are at least `least`.
inline double weight_from(const float* w, int64_t V, float least) {
  const f32x16 bound = f32x16::set(least);
  Sum16 sum;
  each16(w, V, 0.0f, [&](int64_t, f32x16 x) PREFGRAD_BODY { sum.add(where(less_equal(bound, x), x)); });
  return sum.total();
}

// The first weight, of those that are at least `least`, whose running sum exceeds `threshold`.
inline int64_t first_beyond(const float* w, int64_t V, float least, double threshold) {
  double below = 0.0;
  for (int64_t block = 0; block < V; block += 256) {
    const int64_t n = V - block < 256 ? V - block : 256;
    const double here = weight_from(w + block, n, least);
    if (below + here <= threshold) {
      below += here;
      continue;
    }
    for (int64_t i = block;; ++i) {
      if (w[i] >= least) below += w[i];
      if (below > threshold) return i;
    }
  }
  return -1;
}

inline int64_t sample_row(const SampleTokens& a, const float* x, float* w, uint32_t stream) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float top = largest_or_nan(x, a.V);
  if (top != top || top == -infinity) return -1;
  if (a.temperature == 0.0 || top == infinity) return first_equal(x, a.V, top);

  const float kept = a.top_k > 0 ? kth_largest(x, a.V, a.top_k, top) : -infinity;
  // A temperature near 0 would make this infinite, and 0 * infinity NaN.
  const double steep = a.inverse_temperature < 3e38 ? a.inverse_temperature : 3e38;
  const f32x16 inverse = f32x16::set(static_cast<float>(steep)), largest = f32x16::set(top), least = f32x16::set(kept);
  const f32x16 scale = f32x16::set(kWeightOne);
  Sum16 sum;
  each16(x, a.V, -infinity, [&](int64_t i, f32x16 logit) PREFGRAD_BODY {
    const f32x16 whole = to_f32(to_i32(exp((logit - largest) * inverse) * scale));
    store(w + i, where(less_equal(least, logit), whole));
    sum.add(f32x16::load(w + i));
  });
  double total = sum.total();

  float bound = 0.0f;
  if (a.top_p == a.top_p) {
    const double wanted = a.top_p * total;
    const auto enough = [&](int64_t rank) { return weight_from(w, a.V, of_rank(rank)) >= wanted; };
    bound = of_rank(largest_rank(rank_of(1.0f), rank_of(kWeightOne), enough));
    total = weight_from(w, a.V, bound);
  }
  const uint64_t random = philox(a.seed, a.counter, stream);
  const auto share = static_cast<unsigned __int128>(random) * static_cast<uint64_t>(total) >> 64;
  return first_beyond(w, a.V, bound, static_cast<double>(static_cast<uint64_t>(share)));
}

inline void sample_tokens(const SampleTokens& a, int64_t begin, int64_t end, int worker) {
  float* w = a.workspace + worker * (a.V + 16);
  for (int64_t i = begin; i < end; ++i) {
    const uint32_t stream = static_cast<uint32_t>(a.streams != nullptr ? a.streams[i] : i);
    a.tokens[i] = static_cast<int32_t>(sample_row(a, a.logits + i * a.V, w, stream));
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
