// See adamw.h.
#pragma once
#include "../common/math.h"
#include "adamw.h"

namespace prefgrad::PREFGRAD_ISA {

// The workspace: what `prepare` leaves for `update`.
enum AdamwWord { kGo, kGradFactor, kStepSize, kRootScale, kAdamwFlags = 8 };

// Calls use(first, last, decay) for the elements of [first, last) that belong to a segment.
template <typename Use>
PREFGRAD_INLINE void each_segment(const Adamw& a, int64_t first, int64_t last, Use use) {
  if (a.segments == nullptr) {
    use(first, last, static_cast<float>(a.lr * a.weight_decay));
    return;
  }
  int64_t low = 0, high = a.S;  // the first segment that ends after `first`
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    const bool before = int64_t{a.segments[2 * middle]} + a.segments[2 * middle + 1] <= first;
    (before ? low : high) = before ? middle + 1 : middle;
  }
  for (int64_t s = low; s < a.S && a.segments[2 * s] < last; ++s) {
    const int64_t start = a.segments[2 * s], stop = start + a.segments[2 * s + 1];
    const double decay = a.decay == nullptr ? a.weight_decay : static_cast<double>(a.decay[s]);
    use(start > first ? start : first, stop < last ? stop : last, static_cast<float>(a.lr * decay));
  }
}

PREFGRAD_INLINE bool segments_fit(const Adamw& a) {
  int64_t end = 0;
  for (int64_t s = 0; a.segments != nullptr && s < a.S; ++s) {
    const int64_t start = a.segments[2 * s], length = a.segments[2 * s + 1];
    if (start < end || length < 0 || start + length > a.P) {
      a.fault->report(6, 2 * s);
      return false;
    }
    end = start + length;
  }
  return true;
}

inline void adamw_scan(const Adamw& a, int64_t begin, int64_t end, int) {
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const int64_t first = chunk * kFlatChunk, last = first + kFlatChunk < a.P ? first + kFlatChunk : a.P;
    // g - g is 0 for every finite g, else NaN; sums of either stay what they are.
    f32x16 seen = f32x16::set(0.0f);
    if (segments_fit(a)) {
      each_segment(a, first, last, [&](int64_t i, int64_t stop, float) {
        for (; i < stop; i += 16) {
          const f32x16 g = stop - i >= 16 ? f32x16::load(a.grad + i) : f32x16::load_first(a.grad + i, stop - i, 0.0f);
          seen = seen + (g - g);
        }
      });
    }
    a.workspace[kAdamwFlags + chunk] = any(is_nan(seen)) ? 1.0 : 0.0;
  }
}

inline void adamw_prepare(const Adamw& a, int64_t, int64_t, int) {
  bool finite = true;
  double factor = a.grad_scale;
  if (a.norm != nullptr) {
    const double norm = static_cast<double>(a.norm[0]) * (a.grad_scale < 0.0 ? -a.grad_scale : a.grad_scale);
    finite = norm - norm == 0.0;
    if (a.max_norm == a.max_norm && norm > a.max_norm) factor *= a.max_norm / norm;
  } else {
    for (int64_t chunk = 0; chunk * kFlatChunk < a.P; ++chunk) finite = finite && a.workspace[kAdamwFlags + chunk] == 0.0;
  }
  const double t = static_cast<double>(a.step[0]) + 1.0;
  // beta = 0 has ln beta = -infinity, and 1 - 0^t = 1.
  const double c1 = a.beta1 > 0.0 ? -expm1_of(t * a.log_beta1) : 1.0, c2 = a.beta2 > 0.0 ? -expm1_of(t * a.log_beta2) : 1.0;
  const bool fits = segments_fit(a);
  a.workspace[kGo] = finite && fits ? 1.0 : 0.0;
  a.workspace[kGradFactor] = factor;
  a.workspace[kStepSize] = a.lr / c1;
  a.workspace[kRootScale] = 1.0 / c2;
  a.refused[0] = finite ? 0 : 1;
}

inline void adamw_update(const Adamw& a, int64_t begin, int64_t end, int) {
  if (a.workspace[kGo] == 0.0) return;
  const auto constant = [](double x) { return f32x16::set(static_cast<float>(x)); };
  const f32x16 factor = constant(a.workspace[kGradFactor]), size = constant(a.workspace[kStepSize]);
  const f32x16 root = constant(a.workspace[kRootScale]), epsilon = constant(a.epsilon), zero = constant(0.0);
  const f32x16 beta1 = constant(a.beta1), beta2 = constant(a.beta2);
  const f32x16 rest1 = constant(a.one_minus_beta1), rest2 = constant(a.one_minus_beta2);
  const int64_t first = begin * kFlatChunk, last = end * kFlatChunk < a.P ? end * kFlatChunk : a.P;
  each_segment(a, first, last, [&](int64_t i, int64_t stop, float shrink) {
    const f32x16 decay = f32x16::set(shrink);
    const auto step = [&](f32x16 p, f32x16 g, f32x16& m, f32x16& v) {
      g = g * factor;
      m = fma(beta1, m, rest1 * g);
      v = fma(beta2, v, rest2 * g * g);
      const f32x16 width = square_root(v * root) + epsilon;
      // 0 / 0 (epsilon = 0 and no gradient ever) moves nothing.
      const f32x16 move = unless(equal(m, zero), m / width);
      return fnma(size, move, fnma(decay, p, p));
    };
    for (; i + 16 <= stop; i += 16) {
      f32x16 m = f32x16::load(a.m + i), v = f32x16::load(a.v + i);
      const f32x16 p = step(f32x16::load(a.param + i), f32x16::load(a.grad + i), m, v);
      store(a.m + i, m);
      store(a.v + i, v);
      store(a.param + i, p);
    }
    if (i < stop) {
      const int64_t n = stop - i;
      f32x16 m = f32x16::load_first(a.m + i, n, 0.0f), v = f32x16::load_first(a.v + i, n, 0.0f);
      const f32x16 p = step(f32x16::load_first(a.param + i, n, 0.0f), f32x16::load_first(a.grad + i, n, 0.0f), m, v);
      store_first(a.m + i, m, n);
      store_first(a.v + i, v, n);
      store_first(a.param + i, p, n);
    }
  });
}

inline void adamw_finish(const Adamw& a, int64_t, int64_t, int) {
  if (a.workspace[kGo] != 0.0) a.step[0] += 1;
}

}  // namespace prefgrad::PREFGRAD_ISA
