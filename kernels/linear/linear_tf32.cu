// linear and its gradients on a device that was opened with matmul: 'fast'. See linear.h and linear_backward.h for the formulas,
// linear_tf32.cuda.h for the order of the sums, which is another one than in true f32.
//   linear_tf32_large, _small              y, tiles of 128 x 128 and 64 x 64, one chain over I
//   linear_tf32_narrow_16, _32             up to as many rows in a block of 32 columns, the same chain: the weight is read once
//   linear_grad_x_tf32_large, _small       gradX, one chain over O
//   linear_grad_weight_tf32_large, _small  gradWeight, one chain over the rows of a part, as in true f32
// A block reads 8 bytes per row of its tile and term, mostly from cache, as in true f32.
//
// What a multiprocessor can do, from its data sheet; per 16 terms of a large tile:
//   products       512 clocks on sm_80, 256 on sm_90 (of which mma.sync reaches some 60 %, wgmma alone the rest), 2048 on sm_86,
//                  89 and 120, as many as in true f32; true f32 takes 4096 on sm_80, 2048 on all others
//   shared memory  384 clocks: four warps read 4 KB of fragments per step of 8 terms, 16 KB are stored; no bank is met twice
// So at most some 300 Tflop/s on an H200 (true f32: 67), 156 on an A100 (19.5). Registers: at most 240 in large tiles, 2
// blocks of 4 warps and 68 KB of shared memory on a multiprocessor; 115 in small ones, 4 blocks of 17 KB; 126 in narrow ones, 2.
#include "linear_narrow.cuda.h"
#include "linear_tf32.cuda.h"

namespace prefgrad {

template <int size>
PREFGRAD_DEVICE void linear_tf32_forward(const Linear& a) {
  linear_tf32_tile<size, true, true>({{a.x, a.I}, {a.weight, a.I}, a.N, a.O, static_cast<int>(a.I)}, blockIdx.x,
                                     [&] { return LinearOutput{a.y, a.bias, false}; });
}

PREFGRAD_KERNEL(linear_tf32_large, Linear, PREFGRAD_RESIDENT(kLinearTf32Threads, 2)) { linear_tf32_forward<kLinearLarge>(a); }

PREFGRAD_KERNEL(linear_tf32_small, Linear, PREFGRAD_RESIDENT(kLinearTf32Threads, 4)) { linear_tf32_forward<kLinearSmall>(a); }

// A warp has 16 rows and 8 columns, all terms of them; of 16 rows there are only four warps' worth.
template <int rows>
PREFGRAD_DEVICE void linear_tf32_narrow(const Linear& a) {
  constexpr int each = rows * kWarp / kLinearNarrowThreads, pitch = kLinearTerms + 8;
  constexpr int across = kLinearNarrowColumns / kMmaColumns;
  const int warp = threadIdx.x / kWarp, group = mma_group(), place = 2 * mma_place();
  const int top = warp / across * kMmaRows, side = warp % across * kMmaColumns;
  int64_t row, column;
  linear_narrow_place<rows>(a, row, column);
  float sum[4] = {};
  const auto take = [&](const float* inputs, const float* weights, int count) {
    if (top >= rows) return;
    const float *const left = inputs + (top + group) * pitch + place, *const right = weights + (side + group) * pitch + place;
    for (int k = 0; k < count; k += kGemmTerms) {
      PREFGRAD_UNROLL
      for (int step = k; step < k + kGemmTerms; step += kMmaTerms) {
        const Float2 upper = *reinterpret_cast<const Float2*>(left + step);
        const Float2 lower = *reinterpret_cast<const Float2*>(left + step + kMmaRows / 2 * pitch);
        const Float2 of_column = *reinterpret_cast<const Float2*>(right + step);
        mma_tf32(mma_left(upper.x, lower.x), mma_right(of_column.x), sum);
      }
    }
  };
  linear_narrow_terms<each, pitch, pitch>(a, row, column, [](float x) { return round_tf32(x); }, take);
  const LinearOutput o = {a.y, a.bias, false};
  const bool whole = linear_tf32_is_whole(o, a.O);
  const int64_t r = row + top + group, c = column + side + place;
  PREFGRAD_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int64_t at = r + half * kMmaRows / 2;
    if (top >= rows || at >= a.N) continue;
    linear_tf32_store(o, whole, a.y + at * a.O + c, c, a.O, sum[2 * half], sum[2 * half + 1]);
  }
}

PREFGRAD_KERNEL(linear_tf32_narrow_16, Linear, PREFGRAD_RESIDENT(kLinearNarrowThreads, 2)) { linear_tf32_narrow<16>(a); }

PREFGRAD_KERNEL(linear_tf32_narrow_32, Linear, PREFGRAD_RESIDENT(kLinearNarrowThreads, 2)) { linear_tf32_narrow<32>(a); }

template <int size>
PREFGRAD_DEVICE void linear_tf32_grad_x(const LinearBackward& a) {
  linear_tf32_tile<size, true, false>({{a.grad_y, a.O}, {a.weight, a.I}, a.N, a.I, static_cast<int>(a.O)}, blockIdx.x,
                                      [&] { return LinearOutput{a.grad_x, nullptr, (a.accumulate & 1) != 0}; });
}

PREFGRAD_KERNEL(linear_grad_x_tf32_large, LinearBackward, PREFGRAD_RESIDENT(kLinearTf32Threads, 2)) {
  linear_tf32_grad_x<kLinearLarge>(a);
}

PREFGRAD_KERNEL(linear_grad_x_tf32_small, LinearBackward, PREFGRAD_RESIDENT(kLinearTf32Threads, 4)) {
  linear_tf32_grad_x<kLinearSmall>(a);
}

PREFGRAD_KERNEL(linear_grad_weight_tf32_large, LinearBackward, PREFGRAD_RESIDENT(kLinearTf32Threads, 2)) {
  linear_weight_part<kLinearLarge>(a, [&](const LinearProduct& p, unsigned tile, auto output) {
    linear_tf32_tile<kLinearLarge, false, false>(p, tile, output);
  });
}

PREFGRAD_KERNEL(linear_grad_weight_tf32_small, LinearBackward, PREFGRAD_RESIDENT(kLinearTf32Threads, 4)) {
  linear_weight_part<kLinearSmall>(a, [&](const LinearProduct& p, unsigned tile, auto output) {
    linear_tf32_tile<kLinearSmall, false, false>(p, tile, output);
  });
}

}  // namespace prefgrad
