// AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2), in place over P parameters, t = step + 1:
//   g = grad * grad_scale * clip            clip = min(1, max_norm / (grad_scale * norm)) where max_norm is given
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
//   param -= lr decay param + lr (m / c1) / (sqrt(v / c2) + epsilon)       c = 1 - beta^t = -expm1(t ln beta)
// A gradient that is not finite is refused: nothing changes, step neither, and refused is 1.
// Bytes: 28 P (reads param, grad, m, v; writes param, m, v). Elements outside every segment are neither read nor written.
// Passes: scan (only without norm: one flag per 65536 elements), prepare (constants in f64, rounded once), update, finish.
// Workspace: eight f64 of constants, then the flags of scan.
#pragma once
#include "../grad_norm/grad_norm.h"

namespace prefgrad {

struct Adamw {
  uint64_t present;
  int64_t P, S;
  double lr, beta1, beta2, epsilon, weight_decay, max_norm, grad_scale;
  double one_minus_beta1, one_minus_beta2, log_beta1, log_beta2;
  float* param;
  const float* grad;
  float *m, *v;
  int32_t* step;
  const float* norm;
  const int32_t* segments;
  const float* decay;
  int32_t* refused;
  double* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Adamw, param);

}  // namespace prefgrad
