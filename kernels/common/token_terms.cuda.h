// The kernel that all losses on tokens have: see token_loss.cuda.h.
#pragma once
#include "token_loss.cuda.h"

namespace prefgrad {

// Sums of all chunks of each sequence, where there are several, in the place of the first: so many lanes to a sequence that
// few are idle, and the bits are those of a whole warp.
template <typename Sums, typename Args>
PREFGRAD_DEVICE void merge_chunks(const Args& a) {
  int64_t most = 0;
  for (int64_t b = threadIdx.x; b < a.B; b += kTokenLossThreads) {
    const int64_t chunks = blocks_of(span_of(a, b).length, kTokenLossChunk);
    most = chunks > most ? chunks : most;
  }
  most = block_reduce<kTokenLossThreads>(most, int64_t{0}, MaxOf{});
  if (most < 2) return;
  int lanes = 2;
  while (lanes < most && lanes < kWarp) lanes *= 2;
  // As many slots as blocks: 31 bits are enough.
  const int group = static_cast<int>(threadIdx.x) / lanes, member = static_cast<int>(threadIdx.x) % lanes;
  for (int base = 0; base < a.B; base += kTokenLossThreads / lanes) {
    const int b = base + group;
    const int chunks = b < a.B ? static_cast<int>(blocks_of(span_of(a, b).length, kTokenLossChunk)) : 0;
    const int first = chunks > 0 ? static_cast<int>(first_slot_of<kTokenLossChunk>(a, b)) : 0;
    Sums sums = Sums::none();
    for (int k = member; k < chunks; k += lanes) sums.merge(slot_sums<Sums>(a, first + k));
    sums = warp_merge(sums, lanes);
    if (member == 0 && chunks > 0) slot_sums<Sums>(a, first) = sums;
  }
  __syncthreads();
}

template <typename Loss, typename Args>
PREFGRAD_DEVICE void token_loss_finish(const Args& a) {
  using Sums = typename Loss::Sums;
  merge_chunks<Sums>(a);
  Sums all = Sums::none();
  for (int b = threadIdx.x; b < a.B; b += kTokenLossThreads) {
    if (span_of(a, b).length == 0) continue;
    Sums sums = slot_sums<Sums>(a, first_slot_of<kTokenLossChunk>(a, b));
    if (sums.base.count == 0.0) continue;
    sums.base.sequences = 1.0;
    sums.base.term *= token_share(a, sums.base.count);
    Loss::of_sequence(a, b, sums);
    all.merge(sums);
  }
  all = block_merge<kTokenLossThreads>(all);
  if (threadIdx.x != 0) return;
  const double divisor = token_divisor(a, all.base.count, all.base.sequences);
  a.loss[0] = divisor > 0.0 ? static_cast<float>(all.base.term / divisor) : 0.0f;
  a.stats[0] = static_cast<float>(all.base.term);
  a.stats[1] = static_cast<float>(token_denominator(a, all.base.count, all.base.sequences));
  a.stats[2] = static_cast<float>(all.base.count);
  Loss::stats(a, all);
}

// With broken offsets the blocks share all tokens, and everything is NaN.
template <typename Loss, typename Args>
PREFGRAD_DEVICE void token_loss_broken(const Args& a) {
  Loss::fill(a, Quad(nullptr, int64_t{blockIdx.x} * kTokenLossChunk + 4 * threadIdx.x, a.N), nan_f32());
  if (blockIdx.x > 0 || threadIdx.x > 0) return;
  a.loss[0] = nan_f32();
  for (int k = 0; k < Loss::stats_count; ++k) a.stats[k] = nan_f32();
}

template <typename Loss, typename Args>
PREFGRAD_DEVICE void token_loss_terms(const Args& a) {
  using Sums = typename Loss::Sums;
  const TokenTotals totals = find_totals(a);
  if (totals.broken != 0) return token_loss_broken<Loss>(a);
  const Chunk chunk = chunk_of<kTokenLossChunk>(a, blockIdx.x);
  if (chunk.sequence >= 0) {
    const double share = a.aggregate == kSequenceMean ? token_share(a, sequence_count(a, chunk.sequence)) : 1.0;
    // Not finite where nothing counts, and then not used.
    const double divisor = token_divisor(a, totals.tokens, totals.sequences);
    const Loss loss(a, chunk.sequence, a.grad_scale * share / divisor);
    const Quad quad = quad_of(a.valid, chunk);
    Sums sums = Sums::none();
    if (quad.count > 0) loss.add(quad, sums);
    sums.base.count = quad.tokens();
    sums = block_merge<kTokenLossThreads>(sums);
    if (threadIdx.x == 0) slot_sums<Sums>(a, blockIdx.x) = sums;
  }
  if (is_last_block(a.fault)) token_loss_finish<Loss>(a);
}

// Minima and maxima that keep a NaN.
PREFGRAD_DEVICE double smaller(double a, double b) { return a < b || a != a ? a : b; }
PREFGRAD_DEVICE double larger(double a, double b) { return a > b || a != a ? a : b; }

}  // namespace prefgrad
