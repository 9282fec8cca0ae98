// See adamw.h for the formulas.
//   adamw_scan    reads the gradient: 4 B per parameter, only where no norm speaks for it
//   adamw_update  reads param, grad, m and v and writes param, m and v once each: 28 B per parameter, the least there is. Every
//                 block decides for itself whether the step is taken; the one that comes last counts it.
// Arithmetic in f32 with the roundings of the CPU's kernel; what all parameters share is computed in f64 and rounded once.
#include "../common/arrivals.cuda.h"
#include "adamw.launch.h"

namespace prefgrad {

PREFGRAD_DEVICE int64_t adamw_segment_start(const Adamw& a, int64_t s) { return a.segments[2 * s]; }
PREFGRAD_DEVICE int64_t adamw_segment_end(const Adamw& a, int64_t s) {
  return int64_t{a.segments[2 * s]} + a.segments[2 * s + 1];
}

// The first segment that ends after parameter i. Each lane of the warp looks at one place, so that a few steps are enough.
PREFGRAD_DEVICE int64_t adamw_segment_after(const Adamw& a, int64_t i) {
  int64_t low = 0, high = a.segments == nullptr ? 0 : a.S;
  while (low < high) {
    const int64_t step = (high - low + kWarp - 1) / kWarp;
    const int64_t probe = low + (threadIdx.x % kWarp + 1) * step - 1;
    const unsigned before = __ballot_sync(kFullMask, probe < high && adamw_segment_end(a, probe) <= i);
    low += __popc(before) * step;
    if (low + step - 1 < high) high = low + step - 1;
  }
  return low;
}

// A tile of parameters in the hands of a block, and the segments that it meets.
struct AdamwTile {
  int64_t first, last, segment;

  PREFGRAD_MEMBER AdamwTile(const Adamw& a, int64_t tile) : first(tile * kAdamwTile), last(first + kAdamwTile) {
    if (last > a.P) last = a.P;
    segment = adamw_segment_after(a, first);
  }
  // All of it, and in one segment?
  PREFGRAD_MEMBER bool is_whole(const Adamw& a) const {
    if (last - first < kAdamwTile) return false;
    if (a.segments == nullptr) return true;
    return segment < a.S && adamw_segment_start(a, segment) <= first && last <= adamw_segment_end(a, segment);
  }
  // Calls use(i, segment) for this thread's parameters that belong to a segment.
  template <typename Use>
  PREFGRAD_MEMBER void each(const Adamw& a, Use use) const {
    int64_t s = segment;
    for (int64_t i = first + threadIdx.x; i < last; i += kAdamwThreads) {
      if (a.segments != nullptr) {
        while (s < a.S && adamw_segment_end(a, s) <= i) ++s;
        if (s >= a.S) return;
        if (adamw_segment_start(a, s) > i) continue;
      }
      use(i, s);
    }
  }
};

// The size of a number as an integer: infinity has 0x7f800000, and NaN more.
PREFGRAD_DEVICE uint32_t adamw_size(float x) { return bits_of(x) & 0x7fffffffu; }

// Is a gradient not finite? What `scan` leaves, and behind it the same of each block.
PREFGRAD_DEVICE uint32_t* adamw_verdicts(const Adamw& a) { return reinterpret_cast<uint32_t*>(a.workspace); }

PREFGRAD_KERNEL(adamw_scan, Adamw, kAdamwThreads) {
  constexpr int vectors = kAdamwTile / (4 * kAdamwThreads);
  uint32_t largest = 0;
  const auto look_at = [&](float g) {
    if (adamw_size(g) > largest) largest = adamw_size(g);
  };
  for (int64_t number = blockIdx.x; number * kAdamwTile < a.P; number += gridDim.x) {
    const AdamwTile tile(a, number);
    if (tile.is_whole(a) && is_aligned(a.grad)) {
      const Float4* const grad = reinterpret_cast<const Float4*>(a.grad + tile.first) + threadIdx.x;
      Float4 g[vectors];
      for (int k = 0; k < vectors; ++k) g[k] = grad[k * kAdamwThreads];
      for (int k = 0; k < vectors; ++k) {
        for (int j = 0; j < 4; ++j) look_at(g[k].x[j]);
      }
    } else {
      tile.each(a, [&](int64_t i, int64_t) { look_at(a.grad[i]); });
    }
  }
  const int mine = __syncthreads_or(largest >= 0x7f800000u);
  uint32_t* const verdicts = adamw_verdicts(a);
  if (threadIdx.x == 0) verdicts[1 + blockIdx.x] = mine != 0;
  if (!is_last_block(a.fault)) return;
  bool bad = false;
  for (unsigned block = threadIdx.x; block < gridDim.x; block += kAdamwThreads) bad |= verdicts[1 + block] != 0;
  const int any = __syncthreads_or(bad);
  if (threadIdx.x == 0) verdicts[0] = any != 0;
}

// Do the segments lie in the parameters, one behind the other? All threads of the block ask.
PREFGRAD_DEVICE bool adamw_segments_fit(const Adamw& a) {
  if (a.segments == nullptr) return true;
  bool misplaced = false;
  for (int64_t s = threadIdx.x; s < a.S; s += kAdamwThreads) {
    const int64_t start = adamw_segment_start(a, s), end = adamw_segment_end(a, s);
    if (start < (s == 0 ? 0 : adamw_segment_end(a, s - 1)) || end < start || end > a.P) {
      a.fault->report(6, 2 * s);
      misplaced = true;
    }
  }
  return __syncthreads_or(misplaced) == 0;
}

// Whether the step is taken, and the numbers that all parameters share.
struct AdamwStep {
  bool go, is_finite;
  float factor, size, root;
};

PREFGRAD_DEVICE AdamwStep adamw_step(const Adamw& a, bool segments_fit) {
  double factor = a.grad_scale;
  bool is_finite = true;
  if (a.norm != nullptr) {
    const double norm = static_cast<double>(a.norm[0]) * fabs(a.grad_scale);
    is_finite = norm - norm == 0.0;
    if (a.max_norm == a.max_norm && norm > a.max_norm) factor *= a.max_norm / norm;
  } else if (segments_fit && a.P > 0) {
    // By segments that do not fit a gradient is not judged.
    is_finite = adamw_verdicts(a)[0] == 0;
  }
  const double t = static_cast<double>(a.step[0]) + 1.0;
  // beta = 0 has ln beta = -infinity, and 1 - 0^t = 1.
  const double c1 = a.beta1 > 0.0 ? -expm1(t * a.log_beta1) : 1.0, c2 = a.beta2 > 0.0 ? -expm1(t * a.log_beta2) : 1.0;
  return {is_finite && segments_fit, is_finite, static_cast<float>(factor), static_cast<float>(a.lr / c1),
          static_cast<float>(1.0 / c2)};
}

struct AdamwNumbers {
  float factor, size, root, epsilon, beta1, beta2, rest1, rest2;

  PREFGRAD_MEMBER AdamwNumbers(const Adamw& a, const AdamwStep& step)
      : factor(step.factor),
        size(step.size),
        root(step.root),
        epsilon(static_cast<float>(a.epsilon)),
        beta1(static_cast<float>(a.beta1)),
        beta2(static_cast<float>(a.beta2)),
        rest1(static_cast<float>(a.one_minus_beta1)),
        rest2(static_cast<float>(a.one_minus_beta2)) {}

  PREFGRAD_MEMBER void move(float decay, float& p, float g, float& m, float& v) const {
    g *= factor;
    m = fma(beta1, m, rest1 * g);
    v = fma(beta2, v, rest2 * g * g);
    const float width = sqrt(v * root) + epsilon;
    // 0 / 0 (epsilon = 0 and no gradient ever) moves nothing.
    const float change = m == 0.0f ? 0.0f : m / width;
    p = fma(-size, change, fma(-decay, p, p));
  }
};

PREFGRAD_DEVICE float adamw_decay(const Adamw& a, int64_t segment) {
  return static_cast<float>(a.lr * (a.decay == nullptr ? a.weight_decay : static_cast<double>(a.decay[segment])));
}

PREFGRAD_DEVICE void adamw_update_tile(const Adamw& a, const AdamwTile& tile, const AdamwNumbers& numbers, bool aligned) {
  constexpr int in_flight = 2, rounds = kAdamwTile / (4 * kAdamwThreads * in_flight);
  if (!aligned || !tile.is_whole(a)) {
    tile.each(a, [&](int64_t i, int64_t s) {
      float p = a.param[i], m = a.m[i], v = a.v[i];
      numbers.move(adamw_decay(a, s), p, a.grad[i], m, v);
      a.param[i] = p;
      a.m[i] = m;
      a.v[i] = v;
    });
    return;
  }
  const float decay = adamw_decay(a, tile.segment);
  for (int round = 0; round < rounds; ++round) {
    const int64_t at = tile.first + 4 * (int64_t{round * in_flight * kAdamwThreads} + threadIdx.x);
    const Float4* const grad = reinterpret_cast<const Float4*>(a.grad + at);
    Float4* const param = reinterpret_cast<Float4*>(a.param + at);
    Float4* const first = reinterpret_cast<Float4*>(a.m + at);
    Float4* const second = reinterpret_cast<Float4*>(a.v + at);
    Float4 p[in_flight], g[in_flight], m[in_flight], v[in_flight];
    for (int k = 0; k < in_flight; ++k) {
      p[k] = param[k * kAdamwThreads];
      g[k] = read_once(grad + k * kAdamwThreads);
      m[k] = first[k * kAdamwThreads];
      v[k] = second[k * kAdamwThreads];
    }
    for (int k = 0; k < in_flight; ++k) {
      for (int j = 0; j < 4; ++j) numbers.move(decay, p[k].x[j], g[k].x[j], m[k].x[j], v[k].x[j]);
      param[k * kAdamwThreads] = p[k];
      write_once(first + k * kAdamwThreads, m[k]);
      write_once(second + k * kAdamwThreads, v[k]);
    }
  }
}

PREFGRAD_KERNEL(adamw_update, Adamw, kAdamwThreads) {
  PREFGRAD_SHARED(AdamwStep, decided, 1);
  const bool fit = adamw_segments_fit(a);
  if (threadIdx.x == 0) decided[0] = adamw_step(a, fit);
  __syncthreads();
  const AdamwStep step = decided[0];
  if (step.go) {
    const AdamwNumbers numbers(a, step);
    const bool aligned = is_aligned(a.param) && is_aligned(a.grad) && is_aligned(a.m) && is_aligned(a.v);
    for (int64_t tile = blockIdx.x; tile * kAdamwTile < a.P; tile += gridDim.x) {
      adamw_update_tile(a, AdamwTile(a, tile), numbers, aligned);
    }
  }
  // By now every block has read how many steps were taken.
  if (!is_last_block(a.fault) || threadIdx.x != 0) return;
  a.refused[0] = !step.is_finite;
  if (step.go) a.step[0] += 1;
}

}  // namespace prefgrad
