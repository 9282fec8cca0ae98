// The gated unit of the feed-forward block (Shazeer 2020, arXiv:2002.05202, eq. 6) and its gradients; tensors [N, H].
//   s = sigmoid(gate),  y = gate s up
//   gradGate = gradY up s (1 + gate (1 - s)),  gradUp = gradY gate s
// s and 1 - s both come from e^-|gate|, so that neither overflows or loses digits.
// Bytes: forward 12 N H, backward 20 N H.
// Pass forward: one item per row.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Swiglu {
  uint64_t present;
  int64_t N, H;
  const float *gate, *up;
  float* y;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Swiglu, gate);

struct SwigluBackward {
  uint64_t present;
  int64_t N, H;
  int64_t accumulate;
  const float *grad_y, *gate, *up;
  float *grad_gate, *grad_up;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(SwigluBackward, grad_y);

}  // namespace prefgrad
