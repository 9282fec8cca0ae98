// What losses on tokens share: denominators, chunks of 1024 tokens of a sequence, partial sums and their order.
//   count   where blocks do not find the denominator alone: the tokens that count, per chunk and of all (1 B per token)
//   terms   per chunk, four tokens to a thread: gradients and partial sums. The block that comes last adds the sums up, chunk
//           by chunk within a sequence, then sequence by sequence, and writes the loss and the stats.
// An op declares a Loss: `Sums`, made of TokenSums; Loss(a, b, coefficient) for a sequence; `add(quad, sums)`, which writes
// the outputs of up to four tokens; `fill(a, quad, x)`, which writes x in all of them; `of_sequence(a, b, sums)`, which adds
// to the sums what belongs to a sequence; and `stats(a, sums)`, which writes the `stats_count` stats from the fourth on.
#pragma once
#include "arrivals.cuda.h"
#include "merge.cuda.h"
#include "quads.cuda.h"
#include "sequences.cuda.h"
#include "token_loss.launch.h"

namespace prefgrad {

constexpr double kInfinity = HUGE_VAL;

struct TokenTotals {
  int64_t tokens, sequences;  // those that count: valid tokens, and sequences with any
  int64_t broken;             // the offsets
};
static_assert(sizeof(TokenTotals) <= 8 * kTokenTotalWords, "workspace");

// The first of any op's sums: tokens, sequences, and the numerator of the loss.
struct TokenSums {
  double count, sequences, term;

  PREFGRAD_MEMBER void merge(const TokenSums& o) {
    count += o.count;
    sequences += o.sequences;
    term += o.term;
  }
};

template <typename Args>
PREFGRAD_DEVICE TokenTotals& token_totals(const Args& a) {
  return *reinterpret_cast<TokenTotals*>(a.workspace);
}
template <typename Args>
PREFGRAD_DEVICE int64_t& slot_count(const Args& a, int64_t slot) {
  return reinterpret_cast<int64_t*>(a.workspace)[kTokenTotalWords + slot];
}
template <typename Sums, typename Args>
PREFGRAD_DEVICE Sums& slot_sums(const Args& a, int64_t slot) {
  static_assert(sizeof(Sums) <= 8 * kTokenSumWords, "workspace");
  return *reinterpret_cast<Sums*>(a.workspace + kTokenTotalWords + token_slots(a) + slot * kTokenSumWords);
}

// Nonzero bytes of `flags`, by all threads of the block: sixteen at a time from the first address that allows it.
PREFGRAD_DEVICE int64_t count_flags(const uint8_t* flags, int64_t length) {
  const int64_t odd = (16 - static_cast<int64_t>(reinterpret_cast<uintptr_t>(flags) % 16)) % 16;
  const int64_t head = odd < length ? odd : length, blocks = (length - head) / 16;
  int64_t found = 0;
  for (int64_t i = threadIdx.x; i < blocks; i += kTokenLossThreads) {
    const Half8 bytes = *reinterpret_cast<const Half8*>(flags + head + 16 * i);
    uint32_t words[4];
    memcpy(words, &bytes, 16);
    for (int k = 0; k < 4; ++k) found += __popc((((words[k] & 0x7f7f7f7fu) + 0x7f7f7f7fu) | words[k]) & 0x80808080u);
  }
  for (int64_t i = threadIdx.x; i < length - 16 * blocks; i += kTokenLossThreads) {
    found += flags[i < head ? i : i + 16 * blocks] != 0;
  }
  return block_sum<kTokenLossThreads>(found);
}

// Whatever of the totals the denominator needs, by all threads of a block, which must be as many as count.
template <typename Args>
PREFGRAD_DEVICE TokenTotals find_totals(const Args& a) {
  if (!counts_alone(a)) return token_totals(a);
  TokenTotals t = {a.N, a.T > 0 ? a.B : 0, are_offsets_broken<kTokenLossThreads>(a)};
  const bool given = a.normalizer == a.normalizer;
  if (a.valid != nullptr && a.aggregate == kTokenMean && !given) t.tokens = count_flags(a.valid, a.N);
  if (a.offsets != nullptr && (a.aggregate == kSequenceMean || a.aggregate == kSequenceMeanTokenSum)) {
    int64_t found = 0;
    for (int64_t b = threadIdx.x; b < a.B; b += kTokenLossThreads) found += span_of(a, b).length > 0;
    t.sequences = block_sum<kTokenLossThreads>(found);
  }
  return t;
}

// What the last block of a counting launch makes of the counts of all slots.
template <typename Args>
PREFGRAD_DEVICE void finish_counts(const Args& a) {
  const bool broken = are_offsets_broken<kTokenLossThreads>(a);
  const int64_t slots = token_slots(a);
  int64_t tokens = 0, sequences = 0;
  for (int64_t slot = threadIdx.x; slot < slots && !broken; slot += kTokenLossThreads) tokens += slot_count(a, slot);
  for (int64_t b = threadIdx.x; b < a.B && !broken; b += kTokenLossThreads) {
    const int64_t first = first_slot_of<kTokenLossChunk>(a, b), chunks = blocks_of(span_of(a, b).length, kTokenLossChunk);
    bool any = false;
    for (int64_t k = 0; k < chunks && !any; ++k) any = slot_count(a, first + k) > 0;
    sequences += any;
  }
  tokens = block_sum<kTokenLossThreads>(tokens);
  sequences = block_sum<kTokenLossThreads>(sequences);
  if (threadIdx.x == 0) token_totals(a) = {tokens, sequences, broken};
}

// The tokens of this thread.
PREFGRAD_DEVICE Quad quad_of(const uint8_t* valid, const Chunk& chunk) {
  return Quad(valid, chunk.start + 4 * threadIdx.x, chunk.start + chunk.count);
}

template <typename Args>
PREFGRAD_DEVICE void token_loss_count(const Args& a) {
  const Chunk chunk = chunk_of<kTokenLossChunk>(a, blockIdx.x);
  const int64_t found = block_sum<kTokenLossThreads>(int64_t{quad_of(a.valid, chunk).tokens()});
  if (threadIdx.x == 0 && blockIdx.x < token_slots(a)) slot_count(a, blockIdx.x) = found;
  if (is_last_block(a.fault)) finish_counts(a);
}

// Tokens that count in a sequence; all lanes of a warp take part.
template <typename Args>
PREFGRAD_DEVICE int64_t sequence_count(const Args& a, int64_t b) {
  const int64_t length = span_of(a, b).length, first = first_slot_of<kTokenLossChunk>(a, b);
  if (a.valid == nullptr) return length;
  int64_t found = 0;
  for (int64_t k = threadIdx.x % kWarp; k < blocks_of(length, kTokenLossChunk); k += kWarp) {
    found += slot_count(a, first + k);
  }
  return warp_reduce(found, SumOf{});
}

template <typename Args>
PREFGRAD_DEVICE double token_denominator(const Args& a, double tokens, double sequences) {
  if (a.aggregate == kTokenMean) return tokens;
  if (a.aggregate == kTokenSum) return 1.0;
  return a.count_empty == 1 ? static_cast<double>(a.B) : sequences;
}
template <typename Args>
PREFGRAD_DEVICE double token_divisor(const Args& a, double tokens, double sequences) {
  return a.normalizer == a.normalizer ? a.normalizer : token_denominator(a, tokens, sequences);
}
// The factor of a term in the numerator of the loss.
template <typename Args>
PREFGRAD_DEVICE double token_share(const Args& a, double count) {
  return a.aggregate == kSequenceMean ? 1.0 / count : 1.0;
}

}  // namespace prefgrad
