// Where sequences lie in [B, T] tensors and in packed ones. Long ones are cut into chunks of `size` tokens, counted from the
// start of each sequence, so that a packed call and a padded one add the same numbers in the same order. Chunks are numbered
// by slots; as the host does not know packed lengths there are enough slots for any, and some of them are empty.
#pragma once
#include "launch.h"
#include "reduce.cuda.h"

namespace prefgrad {

struct Span {
  int64_t start, length;
};

// Within the tokens whatever the offsets are, so that nothing else is ever read.
template <typename Args>
PREFGRAD_DEVICE int64_t offset_of(const Args& a, int64_t b) {
  const int64_t at = a.offsets[b];
  return at < 0 ? 0 : at > a.N ? a.N : at;
}
template <typename Args>
PREFGRAD_DEVICE Span span_of(const Args& a, int64_t b) {
  if (a.offsets == nullptr) return {b * a.T, a.T};
  const int64_t start = offset_of(a, b), stop = offset_of(a, b + 1);
  return {start, stop > start ? stop - start : 0};
}

// Do the offsets not start at 0, or ever fall, or not end at N? The first that is wrong is reported, and no token may be
// touched then: falling offsets overlap, so that no sequence of the call can be trusted. All threads of the block take part.
template <int threads, typename Args>
PREFGRAD_DEVICE bool are_offsets_broken(const Args& a) {
  if (a.offsets == nullptr) return false;
  bool broken = false;
  for (int64_t b = threadIdx.x; b <= a.B; b += threads) {
    const int64_t at = a.offsets[b], before = b > 0 ? int64_t{a.offsets[b - 1]} : 0;
    if (at < before || at > a.N || (b == 0 && at != 0) || (b == a.B && at != a.N)) {
      a.fault->report(Args::offsets_input, b);
      broken = true;
    }
  }
  return __syncthreads_or(broken) != 0;
}

// Does the token count?
PREFGRAD_DEVICE bool counts(const uint8_t* valid, int64_t i) { return valid == nullptr || valid[i] != 0; }

struct Chunk {
  int64_t sequence;  // -1: an empty slot
  int64_t number;    // within its sequence
  int64_t start;     // flat index of its first token
  int64_t count;     // its tokens
};

// The slot of a sequence's first chunk; the others follow it. No two packed sequences meet: of n tokens from `start` on
// there are at most floor((start + n) / size) - floor(start / size) + 1 chunks.
template <int size, typename Args>
PREFGRAD_DEVICE int64_t first_slot_of(const Args& a, int64_t b) {
  if (a.offsets == nullptr) return b * blocks_of(a.T, size);
  return offset_of(a, b) / size + b;
}
template <int size, typename Args>
PREFGRAD_DEVICE Chunk chunk_of(const Args& a, int64_t slot) {
  const Chunk empty = {-1, 0, 0, 0};
  int64_t b = 0;
  if (a.offsets == nullptr) {
    if (slot >= a.B * blocks_of(a.T, size)) return empty;
    b = slot / blocks_of(a.T, size);
  } else {
    if (a.B == 0) return empty;
    // The last sequence whose first slot is at most this one.
    for (int64_t beyond = a.B; beyond - b > 1;) {
      const int64_t middle = (b + beyond) / 2;
      if (first_slot_of<size>(a, middle) <= slot) {
        b = middle;
      } else {
        beyond = middle;
      }
    }
  }
  const Span span = span_of(a, b);
  const int64_t number = slot - first_slot_of<size>(a, b), before = number * size;
  if (number < 0 || before >= span.length) return empty;
  return {b, number, span.start + before, span.length - before < size ? span.length - before : size};
}

}  // namespace prefgrad
