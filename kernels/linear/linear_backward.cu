// See linear_backward.h for the formulas, common/gemm.cuda.h for the order of the sums.
//   linear_grad_x_large, _small       tiles of 128 x 128 and 64 x 64, one chain over O
//   linear_grad_weight_large, _small  the same, one chain over the rows of a part; where the weight has few tiles there are
//                                     several parts, and linear_grad_weight_finish adds them up in order
//   linear_grad_bias_parts, _finish   one sum in f64 per column and 128 rows, added up in order; 4 B per element of gradY
// A block reads 8 bytes per row of its tile and term, mostly from cache.
#include "linear_product.cuda.h"

namespace prefgrad {

template <int threads>
PREFGRAD_DEVICE void linear_grad_x(const LinearBackward& a) {
  linear_tile<threads, true, false>({{a.grad_y, a.O}, {a.weight, a.I}, a.N, a.I, static_cast<int>(a.O)}, blockIdx.x,
                                    [&] { return LinearOutput{a.grad_x, nullptr, (a.accumulate & 1) != 0}; });
}

PREFGRAD_KERNEL(linear_grad_x_large, LinearBackward, PREFGRAD_RESIDENT(kLinearLargeThreads, 2)) {
  linear_grad_x<kLinearLargeThreads>(a);
}

PREFGRAD_KERNEL(linear_grad_x_small, LinearBackward, PREFGRAD_RESIDENT(kLinearSmallThreads, 4)) {
  linear_grad_x<kLinearSmallThreads>(a);
}

template <int threads>
PREFGRAD_DEVICE void linear_grad_weight(const LinearBackward& a) {
  linear_weight_part<threads / 2>(a, [&](const LinearProduct& p, unsigned tile, auto output) {
    linear_tile<threads, false, false>(p, tile, output);
  });
}

PREFGRAD_KERNEL(linear_grad_weight_large, LinearBackward, PREFGRAD_RESIDENT(kLinearLargeThreads, 2)) {
  linear_grad_weight<kLinearLargeThreads>(a);
}

PREFGRAD_KERNEL(linear_grad_weight_small, LinearBackward, PREFGRAD_RESIDENT(kLinearSmallThreads, 4)) {
  linear_grad_weight<kLinearSmallThreads>(a);
}

PREFGRAD_KERNEL(linear_grad_weight_finish, LinearBackward, kLinearBiasThreads) {
  const int64_t at = global_thread(), count = a.O * a.I;
  if (at >= count) return;
  float sum = 0.0f;
  for (int64_t part = 0; part < linear_parts(a.N, a.O, a.I); ++part) sum += a.workspace[part * count + at];
  a.grad_weight[at] = (a.accumulate & 2) != 0 ? a.grad_weight[at] + sum : sum;
}

PREFGRAD_KERNEL(linear_grad_bias_parts, LinearBackward, kLinearBiasThreads) {
  constexpr int lanes = kLinearBiasColumns, strides = kLinearBiasThreads / lanes;
  PREFGRAD_SHARED(double, sums, kLinearBiasThreads);
  const int64_t columns = (a.O + lanes - 1) / lanes;
  const int64_t part = blockIdx.x / columns, column = blockIdx.x % columns * lanes + threadIdx.x % lanes;
  const int64_t first = part * kLinearBiasRows, last = first + kLinearBiasRows < a.N ? first + kLinearBiasRows : a.N;
  double sum = 0.0;
  for (int64_t row = first + threadIdx.x / lanes; row < last && column < a.O; row += strides) {
    sum += static_cast<double>(a.grad_y[row * a.O + column]);
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x >= lanes || column >= a.O) return;
  for (int k = 1; k < strides; ++k) sum += sums[k * lanes + threadIdx.x];
  reinterpret_cast<double*>(a.workspace)[part * a.O + column] = sum;
}

PREFGRAD_KERNEL(linear_grad_bias_finish, LinearBackward, kLinearBiasThreads) {
  const int64_t column = global_thread();
  if (column >= a.O) return;
  double sum = 0.0;
  for (int64_t part = 0; part * kLinearBiasRows < a.N; ++part) {
    sum += reinterpret_cast<const double*>(a.workspace)[part * a.O + column];
  }
  if ((a.accumulate & 4) != 0) sum += static_cast<double>(a.grad_bias[column]);
  a.grad_bias[column] = static_cast<float>(sum);
}

}  // namespace prefgrad
