// What losses on pairs share: a thread per pair, 256 pairs to a block, partial sums per block, and their order. The block
// that comes last adds them up, so that a call is one launch. All arithmetic in f64, rounded once.
#pragma once
#include "arrivals.cuda.h"
#include "merge.cuda.h"
#include "pair_loss.launch.h"

namespace prefgrad {

struct PairSums {
  double loss, accuracy, margin, chosen, rejected;

  PREFGRAD_MEMBER static PairSums none() { return {0.0, 0.0, 0.0, 0.0, 0.0}; }
  PREFGRAD_MEMBER void merge(const PairSums& o) {
    loss += o.loss;
    accuracy += o.accuracy;
    margin += o.margin;
    chosen += o.chosen;
    rejected += o.rejected;
  }
};
static_assert(sizeof(PairSums) <= 8 * kPairWords, "workspace");

PREFGRAD_DEVICE double pair_input(const float* p, int64_t i, double absent) {
  return p == nullptr ? absent : static_cast<double>(p[i]);
}
// Rounds to f32, after adding what is there if wanted.
PREFGRAD_DEVICE void pair_output(float* p, int64_t i, double x, bool add) {
  if (p == nullptr) return;
  p[i] = static_cast<float>(add ? static_cast<double>(p[i]) + x : x);
}

template <typename Args>
PREFGRAD_DEVICE double pair_denominator(const Args& a) {
  return a.normalizer == a.normalizer ? a.normalizer : static_cast<double>(a.B);
}

// s(x), s(-x) and their logarithms from one exponential that cannot overflow.
struct PairLogistic {
  double up, down, log_up, log_down;
  double tail;  // log(1 + e^-|x|)

  PREFGRAD_MEMBER double slope() const { return up * down; }
};
PREFGRAD_DEVICE PairLogistic pair_logistic(double x) {
  const double e = exp(-fabs(x)), near = 1.0 / (1.0 + e), far = e * near, tail = log1p(e);
  const bool negative = x < 0.0;
  return {negative ? far : near, negative ? near : far, (negative ? x : 0.0) - tail, (x > 0.0 ? -x : 0.0) - tail, tail};
}

// `pair(i)` writes the outputs of one pair and returns its sums.
template <typename Args, typename Pair>
PREFGRAD_DEVICE void pair_loss(const Args& a, Pair pair) {
  const int64_t i = global_thread();
  PairSums sums = PairSums::none();
  if (i < a.B) sums = pair(i);
  sums = block_merge<kPairThreads>(sums);
  if (gridDim.x > 1) {
    PairSums* const all = reinterpret_cast<PairSums*>(a.workspace);
    if (threadIdx.x == 0) all[blockIdx.x] = sums;
    if (!is_last_block(a.fault)) return;
    sums = PairSums::none();
    for (unsigned block = threadIdx.x; block < gridDim.x; block += kPairThreads) sums.merge(all[block]);
    sums = block_merge<kPairThreads>(sums);
  }
  if (threadIdx.x != 0) return;
  a.loss[0] = a.B > 0 ? static_cast<float>(sums.loss / pair_denominator(a)) : 0.0f;
  a.stats[0] = static_cast<float>(sums.loss);
  a.stats[1] = a.stats[2] = static_cast<float>(a.B);
  a.stats[3] = static_cast<float>(sums.accuracy);
  a.stats[4] = static_cast<float>(sums.margin);
  a.stats[5] = static_cast<float>(sums.chosen);
  a.stats[6] = static_cast<float>(sums.rejected);
}

}  // namespace prefgrad
