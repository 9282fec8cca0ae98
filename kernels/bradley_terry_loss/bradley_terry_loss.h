// Bradley-Terry reward loss (Bradley & Terry 1952; margin after arXiv:2307.09288 eq. 2). Per pair b of B:
//   d = chosen - rejected - margin
//   p = (1 - e) preference + e (1 - preference)          e = label_smoothing, preference 1 when absent
//   l = -p log s(d) - (1 - p) log s(-d) + k (chosen + rejected)^2          s = sigmoid, k = center_coefficient
//   loss = sum w l / D,  D = normalizer or B
//   dl/dchosen = g + 2 k (chosen + rejected),  dl/drejected = -g + 2 k (chosen + rejected),  g = (1 - p) s(d) - p s(-d) = s(d) - p
// Bytes: reads 4 B per input and pair, writes 8 B; all arithmetic in f64, rounded once. On the CPU
// plain losses are taken in f32: a loss within 3 ULP, their mean within 4, a gradient within 6.
// Passes: terms (one item per 1024 pairs) leaves 4 partial sums per item in the workspace, in 64 B; finish adds them up in order.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct BradleyTerryLoss {
  uint64_t present;
  int64_t B;
  double label_smoothing, center_coefficient, normalizer, grad_scale;
  int64_t accumulate;
  const float *chosen, *rejected, *margin, *preference, *weight;
  float *loss, *grad_chosen, *grad_rejected, *stats;
  double* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(BradleyTerryLoss, chosen);

}  // namespace prefgrad
