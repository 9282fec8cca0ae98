// See rms_norm.h for the formulas. Means in f64, everything else in f32 or better.
//   rms_norm                reads x (from cache the second time) and weight, writes y: 8 B per element, the least there is
//   rms_norm_weight_sums    reads gradY and x; one partial sum in f64 per column and 64 rows
//   rms_norm_weight_finish  adds the partial sums up in order
//   rms_norm_grad_x         reads gradY, x and weight, writes gradX: 20 B per element in all, of 12 at least
#include "../common/reduce.cuda.h"
#include "rms_norm.launch.h"

namespace prefgrad {

PREFGRAD_KERNEL(rms_norm, RmsNorm, kRmsNormThreads) {
  const int64_t row = blockIdx.x;
  const float* const x = a.x + row * a.H;
  float* const y = a.y + row * a.H;
  double squares = 0.0;
  for (int64_t h = threadIdx.x; h < a.H; h += kRmsNormThreads) {
    const double v = x[h];
    squares = fma(v, v, squares);
  }
  squares = block_sum<kRmsNormThreads>(squares);
  const float s = static_cast<float>(1.0 / sqrt(squares / static_cast<double>(a.H) + a.epsilon));
  if (threadIdx.x == 0) a.inverse_rms[row] = s;
  for (int64_t h = threadIdx.x; h < a.H; h += kRmsNormThreads) y[h] = x[h] * s * a.weight[h];
}

PREFGRAD_KERNEL(rms_norm_weight_sums, RmsNormBackward, kRmsNormThreads) {
  constexpr int lanes = kRmsNormColumns, strides = kRmsNormThreads / lanes;
  PREFGRAD_SHARED(double, sums, kRmsNormThreads);
  const int64_t columns = (a.H + lanes - 1) / lanes;
  const int64_t part = blockIdx.x / columns, h = blockIdx.x % columns * lanes + threadIdx.x % lanes;
  const int64_t first = part * kRmsNormRows, last = first + kRmsNormRows < a.N ? first + kRmsNormRows : a.N;
  double sum = 0.0;
  for (int64_t row = first + threadIdx.x / lanes; row < last && h < a.H; row += strides) {
    const double g = a.grad_y[row * a.H + h], v = a.x[row * a.H + h], s = a.inverse_rms[row];
    sum = fma(g * s, v, sum);
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x >= lanes || h >= a.H) return;
  for (int k = 1; k < strides; ++k) sum += sums[k * lanes + threadIdx.x];
  a.workspace[part * a.H + h] = sum;
}

PREFGRAD_KERNEL(rms_norm_weight_finish, RmsNormBackward, kRmsNormThreads) {
  const int64_t h = global_thread();
  if (h >= a.H) return;
  double sum = (a.accumulate & 2) != 0 ? static_cast<double>(a.grad_weight[h]) : 0.0;
  for (int64_t part = 0; part * kRmsNormRows < a.N; ++part) sum += a.workspace[part * a.H + h];
  a.grad_weight[h] = static_cast<float>(sum);
}

PREFGRAD_KERNEL(rms_norm_grad_x, RmsNormBackward, kRmsNormThreads) {
  const int64_t row = blockIdx.x;
  const float *const x = a.x + row * a.H, *const grad_y = a.grad_y + row * a.H;
  float* const grad_x = a.grad_x + row * a.H;
  double dot = 0.0;
  for (int64_t h = threadIdx.x; h < a.H; h += kRmsNormThreads) {
    dot += static_cast<double>(grad_y[h]) * static_cast<double>(a.weight[h]) * static_cast<double>(x[h]);
  }
  dot = block_sum<kRmsNormThreads>(dot);
  const double s = a.inverse_rms[row], pull = s * s * s * (dot / static_cast<double>(a.H));
  for (int64_t h = threadIdx.x; h < a.H; h += kRmsNormThreads) {
    double g = static_cast<double>(grad_y[h]) * s * static_cast<double>(a.weight[h]) - pull * static_cast<double>(x[h]);
    if ((a.accumulate & 1) != 0) g += static_cast<double>(grad_x[h]);
    grad_x[h] = static_cast<float>(g);
  }
}

}  // namespace prefgrad
