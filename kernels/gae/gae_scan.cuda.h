// The scan of gae.h on a GPU, in an order that depends on nothing but the steps of a sequence, so that rows give the same
// bits whoever works on them: eight steps one after the other, 32 such groups (Kogge & Stone 1973), eight of these segments
// one after the other, and the chunks of 2048 steps one after the other.
//
// What a step hands to the one before it is S = gamma V + gamma lambda A (with nextValues without its first term), so that
// A = r - V + S' and nobody needs to look for the next step that counts: a step is a map S' -> b + a S'. All of it in f64.
#pragma once
#include "../common/sequences.cuda.h"
#include "gae.launch.h"

namespace prefgrad {

struct GaeMap {
  double a, b;
};
PREFGRAD_DEVICE GaeMap gae_identity() { return {1.0, 0.0}; }

// a x + b, and b where a is 0 even if x is not finite: what lies behind an end has no effect.
PREFGRAD_DEVICE double gae_linear(double a, double x, double b) { return a == 0.0 ? b : fma(a, x, b); }
// A product that was not cut does not become 0: what is not finite passes through it however long it is.
PREFGRAD_DEVICE double gae_times(double a, double b) {
  const double p = a * b, least = 0x1p-1022;
  return a == 0.0 || b == 0.0 ? 0.0 : fabs(p) < least ? copysign(least, p) : p;
}
// Padding changes no bit, not even the sign of a zero.
PREFGRAD_DEVICE GaeMap gae_compose(GaeMap early, GaeMap late) {
  if (late.a == 1.0 && late.b == 0.0) return early;
  return {gae_times(early.a, late.a), gae_linear(early.a, late.b, early.b)};
}
PREFGRAD_DEVICE double gae_after(GaeMap map, double s) { return gae_linear(map.a, s, map.b); }

// The threads that work on a sequence together: a block, or one warp of it.
template <int threads>
struct GaeGroup {
  static constexpr bool is_warp = threads == kWarp;
  static constexpr int block = is_warp ? kGaeThreads : threads;

  PREFGRAD_MEMBER static int thread() { return is_warp ? threadIdx.x % kWarp : threadIdx.x; }
  PREFGRAD_MEMBER static int64_t row() {
    return is_warp ? int64_t{blockIdx.x} * (kGaeThreads / kWarp) + threadIdx.x / kWarp : blockIdx.x;
  }
  PREFGRAD_MEMBER static void sync() {
    if (is_warp) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }
  template <typename Op>
  PREFGRAD_MEMBER static int64_t reduce(int64_t x, int64_t identity, Op op) {
    if constexpr (is_warp) {
      return warp_reduce(x, op);
    } else {
      return block_reduce<threads>(x, identity, op);
    }
  }
};

// A sequence: its tokens, and where its steps lie. What is before or behind, or does not count, changes nothing.
struct GaeRow {
  int64_t b;
  Span span;
  int64_t begin, stop;

  PREFGRAD_MEMBER int64_t chunks() const { return blocks_of(stop - begin, kGaeChunk); }
};

// All threads of the group take part; it looks from both ends until a token counts.
template <int threads>
PREFGRAD_DEVICE GaeRow gae_row(const Gae& a, int64_t b) {
  using Group = GaeGroup<threads>;
  const Span span = span_of(a, b);
  const int64_t end = span.start + span.length;
  GaeRow row = {b, span, span.start, end};
  if (a.valid == nullptr) return row;
  constexpr int64_t tile = threads * kGaeSteps;
  int64_t first = end, last = -1;
  for (int64_t base = span.start; base < end && first == end; base += tile) {
    for (int k = kGaeSteps - 1; k >= 0; --k) {
      const int64_t i = base + k * threads + Group::thread();
      if (i < end && a.valid[i] != 0) first = i;
    }
    first = Group::reduce(first, end, MinOf{});
  }
  for (int64_t base = end; base > first && last < 0; base -= tile) {
    for (int k = kGaeSteps - 1; k >= 0; --k) {
      const int64_t i = base - 1 - k * threads - Group::thread();
      if (i >= first && a.valid[i] != 0) last = i;
    }
    last = Group::reduce(last, int64_t{-1}, MaxOf{});
  }
  row.begin = first;
  row.stop = last < 0 ? first : last + 1;
  return row;
}

PREFGRAD_DEVICE double gae_decay(const Gae& a, int64_t b, int which) {
  const double lambda = which == 1 ? a.value_lambda : a.lambdas != nullptr ? static_cast<double>(a.lambdas[b]) : a.lambda;
  return a.gamma * lambda;
}
// What comes from behind the last step.
PREFGRAD_DEVICE double gae_behind(const Gae& a, int64_t b) {
  return a.next_values != nullptr || a.bootstrap == nullptr ? 0.0 : a.gamma * static_cast<double>(a.bootstrap[b]);
}

// n numbers from global memory to shared memory, and back with zeros from `from` on: neighbours move neighbours.
template <int threads>
PREFGRAD_DEVICE void gae_stage(const float* p, int64_t n, float* to) {
  const int64_t quads = is_aligned(p) ? n / 4 : 0;
  for (int64_t q = GaeGroup<threads>::thread(); q < quads; q += threads) {
    reinterpret_cast<Float4*>(to)[q] = reinterpret_cast<const Float4*>(p)[q];
  }
  for (int64_t i = 4 * quads + GaeGroup<threads>::thread(); i < n; i += threads) to[i] = p[i];
}
template <int threads>
PREFGRAD_DEVICE void gae_unstage(const float* from, int64_t n, float* p) {
  const int64_t quads = is_aligned(p) ? n / 4 : 0;
  for (int64_t q = GaeGroup<threads>::thread(); q < quads; q += threads) {
    reinterpret_cast<Float4*>(p)[q] = reinterpret_cast<const Float4*>(from)[q];
  }
  for (int64_t i = 4 * quads + GaeGroup<threads>::thread(); i < n; i += threads) p[i] = from[i];
}
// Zeros where nothing counts.
template <int threads>
PREFGRAD_DEVICE void gae_clear(const Gae& a, int64_t from, int64_t to) {
  for (int64_t i = from + GaeGroup<threads>::thread(); i < to; i += threads) a.advantages[i] = a.returns[i] = 0.0f;
}

// The steps of one thread.
struct GaeOwn {
  float reward[kGaeSteps], value[kGaeSteps];
  int64_t first;         // the token of step 0
  unsigned goes, ends;   // a bit per step: something comes from behind, nothing does; neither: as if it were not there
  unsigned valid, open;  // it counts; its next value does too

  // `i`: the token of this thread's first step; `rewards` and `values` are what was staged of it.
  PREFGRAD_MEMBER GaeOwn(const Gae& a, const GaeRow& row, int64_t i, const float* rewards, const float* values)
      : first(i), goes(0), ends(0), valid(0), open(0) {
    for (int k = 0; k < kGaeSteps; ++k) {
      reward[k] = value[k] = 0.0f;
      if (i + k >= row.stop) continue;
      const unsigned bit = 1u << k;
      if (!counts(a.valid, i + k)) {
        goes |= a.mask_mode == 0 ? 0u : bit;
        continue;
      }
      valid |= bit;
      reward[k] = rewards[k];
      value[k] = values[k];
      const bool terminated = a.terminated != nullptr && a.terminated[i + k] != 0;
      const bool truncated = !terminated && a.truncated != nullptr && a.truncated[i + k] != 0;
      open |= terminated ? 0u : bit;
      if (a.next_values != nullptr) {
        (terminated || truncated ? ends : goes) |= bit;
      } else if (truncated && (i + k + 1 < row.stop || a.bootstrap == nullptr)) {
        a.fault->report(Gae::truncated_input, i + k);
        reward[k] = nan_f32();
        ends |= bit;
      } else {
        (terminated ? ends : goes) |= bit;
      }
    }
  }
  PREFGRAD_MEMBER bool is(unsigned bits, int k) const { return (bits >> k & 1) != 0; }
  // A but for what comes from behind, and S but for the trace.
  PREFGRAD_MEMBER double local(const Gae& a, int k) const {
    const double own = static_cast<double>(reward[k]) - static_cast<double>(value[k]);
    if (a.next_values == nullptr || !is(valid & open, k)) return own;
    return fma(a.gamma, static_cast<double>(a.next_values[first + k]), own);
  }
  PREFGRAD_MEMBER double base(const Gae& a, int k) const {
    return a.next_values != nullptr ? 0.0 : a.gamma * static_cast<double>(value[k]);
  }
  // What its steps make of what comes from behind them.
  PREFGRAD_MEMBER GaeMap map(const Gae& a, double decay) const {
    GaeMap map = gae_identity();
    const unsigned cut = decay == 0.0 ? ends | goes : ends;
    for (int k = kGaeSteps - 1; k >= 0; --k) {
      if (is(cut, k)) {
        map = {0.0, gae_linear(decay, local(a, k), base(a, k))};
      } else if (is(goes, k)) {
        map = {gae_times(decay, map.a), gae_linear(decay, map.b + local(a, k), base(a, k))};
      }
    }
    return map;
  }
  // Its advantages to `rewards`, its returns to `values`, as far as wanted, once it is known what comes from behind.
  PREFGRAD_MEMBER void apply(const Gae& a, double decay, double s, float* advantages, float* returns) const {
    for (int k = kGaeSteps - 1; k >= 0; --k) {
      double advantage = 0.0;
      if (is(goes | ends, k)) {
        advantage = is(goes, k) ? local(a, k) + s : local(a, k);
        s = gae_linear(decay, advantage, base(a, k));
      }
      const bool wanted = is(valid, k);
      if (advantages != nullptr) advantages[k] = wanted ? static_cast<float>(advantage) : 0.0f;
      if (returns != nullptr) returns[k] = wanted ? static_cast<float>(advantage + static_cast<double>(value[k])) : 0.0f;
    }
  }
};

PREFGRAD_DEVICE GaeMap gae_shuffle_down(GaeMap map, unsigned lanes) {
  return {__shfl_down_sync(kFullMask, map.a, lanes), __shfl_down_sync(kFullMask, map.b, lanes)};
}
// The map of all lanes behind this one; `segment` gets that of the whole warp.
PREFGRAD_DEVICE GaeMap gae_scan_warp(GaeMap map, GaeMap& segment) {
  const int lane = threadIdx.x % kWarp;
  PREFGRAD_ROLLED
  for (int apart = 1; apart < kWarp; apart *= 2) {
    const GaeMap late = gae_shuffle_down(map, apart);
    if (lane + apart < kWarp) map = gae_compose(map, late);
  }
  segment = {__shfl_sync(kFullMask, map.a, 0), __shfl_sync(kFullMask, map.b, 0)};
  const GaeMap behind = gae_shuffle_down(map, 1);
  return lane + 1 < kWarp ? behind : gae_identity();
}

// What comes from behind this thread's warp, of `warps` whose maps are `segments`.
PREFGRAD_DEVICE double gae_behind_warp(const GaeMap* segments, int warps, double s) {
  PREFGRAD_ROLLED
  for (int w = warps - 1; w > static_cast<int>(threadIdx.x) / kWarp; --w) s = gae_after(segments[w], s);
  return s;
}
PREFGRAD_DEVICE GaeMap gae_chunk_map(const GaeMap* segments, int warps) {
  GaeMap map = gae_identity();
  PREFGRAD_ROLLED
  for (int w = warps - 1; w >= 0; --w) map = gae_compose(segments[w], map);
  return map;
}

}  // namespace prefgrad
