// See gae.h; gae.cu says what the kernels do. Which of them run depends on sizes and the device, the bits on neither.
#pragma once
#include "../common/launch.h"
#include "gae.h"

namespace prefgrad {

constexpr int kGaeSteps = 8;                          // of a thread
constexpr int kGaeThreads = 256;
constexpr int kGaeChunk = kGaeSteps * kGaeThreads;    // of a block, counted from the first step of the sequence
constexpr int kGaeCluster = 8;                        // blocks that share a long sequence
constexpr int kGaeMapBytes = 16;

PREFGRAD_EVERYWHERE int gae_lambdas(const Gae& a) { return a.value_lambda == a.value_lambda ? 2 : 1; }

// Are there so few offsets that every block looks at all of them, which takes less time than a launch?
PREFGRAD_EVERYWHERE bool gae_checks_alone(const Gae& a) { return a.offsets == nullptr || a.B <= 2048; }

// Packed sequences are taken to be of equal length, which only matters for speed.
PREFGRAD_EVERYWHERE int64_t gae_chunks(const Gae& a) {
  return blocks_of(a.offsets == nullptr ? a.T : blocks_of(a.N, a.B > 0 ? a.B : 1), kGaeChunk);
}
// Chunks of a sequence that one block of a cluster holds at a time.
PREFGRAD_EVERYWHERE int gae_chunks_held(const Gae& a) { return gae_chunks(a) > kGaeCluster ? 2 : 1; }

PREFGRAD_EVERYWHERE int64_t gae_slots(const Gae& a) {
  return a.offsets == nullptr ? a.B * blocks_of(a.T, kGaeChunk) : blocks_of(a.N, kGaeChunk) + a.B;
}

inline void plan(const Gae& a, Element, const DeviceShape& device, LaunchPlan& out) {
  out.workspace_bytes = 8;
  if (!gae_checks_alone(a)) out.add("gae_check", 1, kGaeThreads);
  const int64_t chunks = gae_chunks(a);
  if (a.offsets == nullptr && a.T <= kGaeChunk / 2) {
    // Several short rows to a block, or small blocks.
    if (a.T <= 256) return out.add("gae_rows_32", blocks_of(a.B, kGaeThreads / 32), kGaeThreads);
    return a.T <= 512 ? out.add("gae_rows_64", a.B, 64) : out.add("gae_rows_128", a.B, 128);
  }
  const int64_t rows = a.B > 0 ? a.B : 1;  // offsets of no sequence at all still have to be looked at
  if (chunks <= 1 || a.B >= 2 * device.multiprocessors) return out.add("gae_rows_256", rows, kGaeThreads);
  const bool fills = a.B * kGaeCluster >= device.multiprocessors;
  if (device.has_clusters() && (chunks <= 2 * kGaeCluster || fills)) {
    const int held = gae_chunks_held(a), bytes = held * (2 * 4 * kGaeChunk + gae_lambdas(a) * kGaeThreads * kGaeMapBytes);
    return out.add("gae_cluster", rows * kGaeCluster, kGaeThreads, bytes, kGaeCluster);
  }
  const int64_t slots = gae_slots(a);
  out.workspace_bytes += static_cast<uint64_t>(slots) * static_cast<uint64_t>(gae_lambdas(a) * kGaeMapBytes);
  out.add("gae_reduce", slots, kGaeThreads);
  out.add("gae_apply", slots, kGaeThreads);
}

}  // namespace prefgrad
