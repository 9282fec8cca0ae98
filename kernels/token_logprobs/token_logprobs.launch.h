// See token_logprobs.h. Forward: a warp for each piece of a row, as many warps of a block for a row as it has pieces, 8 at most.
// Where rows are few, a row has several blocks, whose pieces `finish` joins; the bits are the same. Backward: blocks of whole pieces.
#pragma once
#include "../common/launch.h"
#include "token_logprobs.h"

namespace prefgrad {

constexpr int kLogitThreads = 256, kLogitWarps = kLogitThreads / 32;
constexpr int64_t kLogitPiece = 4096;       // elements; part of the result's bits
constexpr int64_t kLogitGradients = 16384;  // elements of a row in a block of the backward pass

// What is known of a piece of a row: its largest x, the sum of e^(x - largest) over all but one of the largest, and the sum of
// e^(x - largest) (x - largest).
struct LogitPart {
  double others, moment;
  float largest;
};

#if defined(__CUDACC__)
#define PREFGRAD_HERE_AND_THERE __host__ __device__
#else
#define PREFGRAD_HERE_AND_THERE
#endif
PREFGRAD_HERE_AND_THERE inline int logit_pieces(int64_t V) {
  return static_cast<int>((V + kLogitPiece - 1) / kLogitPiece);
}
// Warps of a block that share a row.
PREFGRAD_HERE_AND_THERE inline int logit_warps(int64_t V) {
  const int pieces = logit_pieces(V);
  return pieces <= 1 ? 1 : pieces <= 2 ? 2 : pieces <= 4 ? 4 : kLogitWarps;
}

inline void plan(const TokenLogprobs& a, Element element, const DeviceShape& device, LaunchPlan& out) {
  constexpr int64_t most_in_block = 1024;  // pieces in shared memory
  const int64_t pieces = logit_pieces(a.V), in_block = kLogitWarps / logit_warps(a.V);
  const bool are_few = a.N < 8 * device.multiprocessors && pieces > kLogitWarps;
  const char* const rows =
      a.entropy == nullptr
          ? kernel_for(element, "token_logprobs_f32", "token_logprobs_bf16", "token_logprobs_f16")
          : kernel_for(element, "token_logprobs_entropy_f32", "token_logprobs_entropy_bf16", "token_logprobs_entropy_f16");
  if (!are_few && pieces <= most_in_block) {
    const int shared = static_cast<int>(in_block * pieces * static_cast<int64_t>(sizeof(LogitPart)));
    return out.add(rows, blocks_of(a.N, in_block), kLogitThreads, shared);
  }
  const char* const finish =
      kernel_for(element, "token_logprobs_finish_f32", "token_logprobs_finish_bf16", "token_logprobs_finish_f16");
  out.workspace_bytes = static_cast<uint64_t>(a.N * pieces) * sizeof(LogitPart);
  out.add(rows, a.N * blocks_of(pieces, kLogitWarps), kLogitThreads);
  out.add(finish, blocks_of(a.N, kLogitWarps), kLogitThreads);
}

inline void plan(const TokenLogprobsBackward& a, Element element, const DeviceShape&, LaunchPlan& out) {
  const char* const kernel = kernel_for(element, "token_logprobs_backward_f32", "token_logprobs_backward_bf16",
                                        "token_logprobs_backward_f16");
  out.add(kernel, a.N * blocks_of(a.V, kLogitGradients), kLogitThreads);
}

}  // namespace prefgrad
