// See grad_norm.h. Squares and their sums in f64, where those of f32 numbers neither overflow nor vanish.
//   grad_norm_partials  reads the gradients once: 4 B per element, the least there is
//   grad_norm_finish    adds the sums of the blocks up, 8 B per 16384 elements
#include "../common/reduce.cuda.h"
#include "grad_norm.launch.h"

namespace prefgrad {

// Which thread adds which element does not depend on where the gradients begin in memory, and absent ones add exactly 0: the
// same bits with vectors and without.
PREFGRAD_KERNEL(grad_norm_partials, GradNorm, kGradNormThreads) {
  constexpr int step = 4 * kGradNormThreads, in_flight = 4;
  const int64_t first = blockIdx.x * kGradNormChunk, left = a.P - first;
  const float* const grad = a.grad + first;
  double sums[4] = {};
  const auto add = [&](const Float4& g) {
    for (int j = 0; j < 4; ++j) {
      const double x = g.x[j];
      sums[j] = fma(x, x, sums[j]);
    }
  };
  if (left >= kGradNormChunk && is_aligned(grad)) {
    for (int i = 4 * threadIdx.x; i < kGradNormChunk; i += in_flight * step) {
      Float4 g[in_flight];
      for (int k = 0; k < in_flight; ++k) g[k] = read_once(reinterpret_cast<const Float4*>(grad + i + k * step));
      for (int k = 0; k < in_flight; ++k) add(g[k]);
    }
  } else {
    const int count = static_cast<int>(left < kGradNormChunk ? left : kGradNormChunk);
    for (int i = 4 * threadIdx.x; i < count; i += step) {
      Float4 g;
      for (int j = 0; j < 4; ++j) g.x[j] = i + j < count ? grad[i + j] : 0.0f;
      add(g);
    }
  }
  const double sum = block_sum<kGradNormThreads>((sums[0] + sums[1]) + (sums[2] + sums[3]));
  if (threadIdx.x == 0) a.workspace[blockIdx.x] = sum;
}

PREFGRAD_KERNEL(grad_norm_finish, GradNorm, kGradNormFinishThreads) {
  const int64_t chunks = (a.P + kGradNormChunk - 1) / kGradNormChunk;
  double sum = 0.0;
  for (int64_t chunk = threadIdx.x; chunk < chunks; chunk += kGradNormFinishThreads) sum += a.workspace[chunk];
  sum = block_sum<kGradNormFinishThreads>(sum);
  if (threadIdx.x == 0) a.norm[0] = static_cast<float>(sqrt(sum));
}

}  // namespace prefgrad
