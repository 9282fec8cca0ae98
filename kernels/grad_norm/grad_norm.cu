// See grad_norm.h. Squares and their sums in f64, where those of f32 numbers neither overflow nor vanish.
//   grad_norm  reads the gradients once: 4 B per element, the least there is. Each block leaves the sum of its chunk, and the
//              block that comes last adds the sums up, in an order that the number of gradients fixes.
#include "../common/arrivals.cuda.h"
#include "../common/reduce.cuda.h"
#include "grad_norm.launch.h"

namespace prefgrad {

// Which thread adds which element does not depend on where the gradients begin in memory, and absent ones add exactly 0: the
// same bits with vectors and without.
PREFGRAD_KERNEL(grad_norm, GradNorm, kGradNormThreads) {
  constexpr int step = 4 * kGradNormThreads, in_flight = 4;
  const int64_t chunk = grad_norm_chunk(a.P), first = blockIdx.x * chunk, last = first + chunk < a.P ? first + chunk : a.P;
  double sums[4] = {};
  const auto add = [&](const Float4& g) {
    for (int j = 0; j < 4; ++j) {
      const double x = g.x[j];
      sums[j] = fma(x, x, sums[j]);
    }
  };
  const bool aligned = is_aligned(a.grad);
  for (int64_t tile = first; tile < last; tile += kGradNormTile) {
    const float* const grad = a.grad + tile;
    if (aligned && last - tile >= kGradNormTile) {
      for (int i = 4 * threadIdx.x; i < kGradNormTile; i += in_flight * step) {
        Float4 g[in_flight];
        for (int k = 0; k < in_flight; ++k) g[k] = read_once(reinterpret_cast<const Float4*>(grad + i + k * step));
        for (int k = 0; k < in_flight; ++k) add(g[k]);
      }
    } else {
      const int count = static_cast<int>(last - tile < kGradNormTile ? last - tile : kGradNormTile);
      for (int i = 4 * threadIdx.x; i < count; i += step) {
        Float4 g;
        for (int j = 0; j < 4; ++j) g.x[j] = i + j < count ? grad[i + j] : 0.0f;
        add(g);
      }
    }
  }
  double sum = block_sum<kGradNormThreads>((sums[0] + sums[1]) + (sums[2] + sums[3]));
  if (gridDim.x > 1) {
    if (threadIdx.x == 0) a.workspace[blockIdx.x] = sum;
    if (!is_last_block(a.fault)) return;
    sum = 0.0;
    for (unsigned block = threadIdx.x; block < gridDim.x; block += kGradNormThreads) sum += a.workspace[block];
    sum = block_sum<kGradNormThreads>(sum);
  }
  if (threadIdx.x == 0) a.norm[0] = static_cast<float>(sqrt(sum));
}

}  // namespace prefgrad
