// See whiten.h for the formula.
//   whiten           up to 8192 values, in one block: reads them and `valid` twice, the second time from cache
//   whiten_moments   reads the values and `valid`; the block that comes last merges the moments of all
//   whiten_forward   reads both again, from the second-level cache where it has room, and writes y: 12 B per
//                    value, of 8 at least if they could be held
#include "../common/arrivals.cuda.h"
#include "../common/merge.cuda.h"
#include "../common/moments.cuda.h"
#include "../common/quads.cuda.h"
#include "whiten.launch.h"

namespace prefgrad {

struct WhitenSums {
  double n;
  Moments of;

  PREFGRAD_MEMBER static WhitenSums none() { return {0.0, {0.0, 0.0}}; }
  PREFGRAD_MEMBER void merge(const WhitenSums& o) {
    if (o.n > 0.0) of = n > 0.0 ? merged(of, n, o.of, o.n) : o.of;
    n += o.n;
  }
};
struct WhitenScale {
  double n, mean, inverse;  // 1 / deviation
};
static_assert(sizeof(WhitenSums) == 8 * kWhitenWords && sizeof(WhitenScale) == 8 * kWhitenWords, "workspace");

PREFGRAD_DEVICE WhitenScale whiten_scale(const Whiten& a, const WhitenSums& sums) {
  const double variance = sums.of.m2 / (a.unbiased == 1 ? sums.n - 1.0 : sums.n);
  return {sums.n, sums.of.mean, 1.0 / sqrt(variance + a.epsilon)};
}

// Of values [begin, end); thread 0 gets the result.
PREFGRAD_DEVICE WhitenSums whiten_sums(const Whiten& a, int64_t begin, int64_t end) {
  MomentSums own = {0.0, 0.0, 0.0};
  double n = 0.0;
  for (int64_t i = begin + 4 * threadIdx.x; i < end; i += 4 * kWhitenThreads) {
    const Quad quad(a.valid, i, end);
    const Float4 x = quad.load(a.x);
    for (int k = 0; k < 4; ++k) {
      if (!quad.counts(k)) continue;
      if (n == 0.0) own.shift = x.x[k];
      own.add(x.x[k]);
      n += 1.0;
    }
  }
  WhitenSums sums = WhitenSums::none();
  if (n > 0.0) sums = {n, own.moments(n)};
  return block_merge<kWhitenThreads>(sums);
}

PREFGRAD_DEVICE void whiten_values(const Whiten& a, int64_t begin, int64_t end, const WhitenScale& scale) {
  const double back = a.shift_mean == 1 ? 0.0 : scale.mean;
  for (int64_t i = begin + 4 * threadIdx.x; i < end; i += 4 * kWhitenThreads) {
    const Quad quad(a.valid, i, end);
    if (scale.n < 2.0) {
      quad.fill(a.y, 0.0f);
      continue;
    }
    const Float4 x = quad.load(a.x);
    double y[4];
    for (int k = 0; k < 4; ++k) {
      // Values that do not vary at all are 0 even with epsilon 0.
      const double d = static_cast<double>(x.x[k]) - scale.mean;
      y[k] = (d == 0.0 ? 0.0 : d * scale.inverse) + back;
    }
    quad.store(a.y, y, false);
  }
}

PREFGRAD_KERNEL(whiten, Whiten, kWhitenThreads) {
  PREFGRAD_SHARED(WhitenScale, scale, 1);
  const WhitenSums sums = whiten_sums(a, 0, a.N);
  if (threadIdx.x == 0) scale[0] = whiten_scale(a, sums);
  __syncthreads();
  whiten_values(a, 0, a.N, scale[0]);
}

PREFGRAD_DEVICE int64_t whiten_end(const Whiten& a) {
  const int64_t end = (int64_t{blockIdx.x} + 1) * kWhitenBlock;
  return end < a.N ? end : a.N;
}

PREFGRAD_KERNEL(whiten_moments, Whiten, kWhitenThreads) {
  WhitenSums* const all = reinterpret_cast<WhitenSums*>(a.workspace) + 1;
  WhitenSums sums = whiten_sums(a, int64_t{blockIdx.x} * kWhitenBlock, whiten_end(a));
  if (threadIdx.x == 0) all[blockIdx.x] = sums;
  if (!is_last_block(a.fault)) return;
  sums = WhitenSums::none();
  for (unsigned block = threadIdx.x; block < gridDim.x; block += kWhitenThreads) sums.merge(all[block]);
  sums = block_merge<kWhitenThreads>(sums);
  if (threadIdx.x == 0) *reinterpret_cast<WhitenScale*>(a.workspace) = whiten_scale(a, sums);
}

PREFGRAD_KERNEL(whiten_forward, Whiten, PREFGRAD_RESIDENT(kWhitenThreads, 1)) {
  whiten_values(a, int64_t{blockIdx.x} * kWhitenBlock, whiten_end(a), *reinterpret_cast<const WhitenScale*>(a.workspace));
}

}  // namespace prefgrad
