// The plan of losses on tokens, and the numbers that token_loss.cuda.h shares with it: one launch where every block can find
// the denominator alone; else one before it, that counts.
#pragma once
#include "launch.h"

namespace prefgrad {

constexpr int kTokenLossThreads = 256;
constexpr int kTokenLossChunk = 1024;  // tokens of a sequence that a block has, four to a thread

// The workspace, in eight-byte words: totals, a count for each slot, the sums of each slot, then what the op has per sequence.
constexpr int kTokenTotalWords = 4, kTokenSumWords = 12;

// Codes of `aggregate`.
enum TokenAggregate { kTokenMean = 0, kSequenceMean = 1, kSequenceMeanTokenSum = 2, kTokenSum = 3 };

template <typename Args>
PREFGRAD_EVERYWHERE int64_t token_slots(const Args& a) {
  return a.offsets == nullptr ? a.B * blocks_of(a.T, kTokenLossChunk) : blocks_of(a.N, kTokenLossChunk) + a.B;
}

// Does every block find the denominator by itself? It then looks at all offsets, or counts all of `valid`: few bytes, which
// lie in the second-level cache, and less time than a launch.
template <typename Args>
PREFGRAD_EVERYWHERE bool counts_alone(const Args& a) {
  if (a.offsets != nullptr && a.B > 2048) return false;
  if (a.valid == nullptr || a.aggregate == kTokenSum) return true;
  return a.aggregate == kTokenMean && a.N <= 131072;
}

template <typename Args>
PREFGRAD_EVERYWHERE uint64_t token_loss_words(const Args& a) {
  return kTokenTotalWords + static_cast<uint64_t>(token_slots(a)) * (1 + kTokenSumWords);
}

// `count` runs first where it must; `terms` leaves nothing to be done.
template <typename Args>
inline void token_loss_plan(const Args& a, const char* count, const char* terms, LaunchPlan& out) {
  const int64_t slots = token_slots(a), blocks = slots > 0 ? slots : 1;  // without tokens there is still a loss to write
  out.workspace_bytes = 8 * token_loss_words(a);
  if (!counts_alone(a)) out.add(count, blocks, kTokenLossThreads);
  out.add(terms, blocks, kTokenLossThreads);
}

}  // namespace prefgrad
