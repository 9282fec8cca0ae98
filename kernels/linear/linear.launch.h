// See linear.h, linear_backward.h. Which tile a product is made in depends on the device, its bits do not: a sum is one chain
// in every tile. Rows of gradWeight's chains are divided by the shape alone. Products on tensor cores are another choice, with
// other bits: then all of them are.
#pragma once
#include "../common/launch.h"
#include "linear.h"
#include "linear_backward.h"

namespace prefgrad {

// Most rows of the narrow kernels; rows of a block at most, columns of a block.
constexpr int64_t kLinearNarrow = 64, kLinearNarrowRows = 32, kLinearNarrowColumns = 32;
constexpr int kLinearNarrowThreads = 256;
// Threads, and rows and columns, of a large and a small tile.
constexpr int kLinearLargeThreads = 256, kLinearSmallThreads = 128;
constexpr int64_t kLinearLarge = 128, kLinearSmall = 64;
// Threads of a tile of either size on tensor cores.
constexpr int kLinearTf32Threads = 128;
// gradWeight: tiles below which rows are divided, and rows of a part at least. gradBias: rows of a part, columns of a block.
constexpr int64_t kLinearTiles = 512, kLinearPartRows = 512;
constexpr int64_t kLinearBiasRows = 128, kLinearBiasColumns = 32;
constexpr int kLinearBiasThreads = 256;

PREFGRAD_EVERYWHERE int64_t linear_tiles(int64_t rows, int64_t columns, int64_t tile) {
  return blocks_of(rows, tile) * blocks_of(columns, tile);
}

// Kernels of a product: in true f32, and on tensor cores.
struct LinearKernels {
  const char *large, *small, *tf32_large, *tf32_small;
};

// One product, in large tiles if they keep the device busy.
inline void linear_product(const LinearKernels& kernels, int64_t rows, int64_t columns, int64_t parts, const DeviceShape& device,
                           LaunchPlan& out) {
  const bool fast = device.fast_matmul;
  const int64_t tiles = parts * linear_tiles(rows, columns, kLinearLarge);
  if (tiles >= device.multiprocessors) {
    out.add(fast ? kernels.tf32_large : kernels.large, tiles, fast ? kLinearTf32Threads : kLinearLargeThreads);
  } else {
    out.add(fast ? kernels.tf32_small : kernels.small, parts * linear_tiles(rows, columns, kLinearSmall),
            fast ? kLinearTf32Threads : kLinearSmallThreads);
  }
}

inline void plan(const Linear& a, Element, const DeviceShape& device, LaunchPlan& out) {
  if (a.N > kLinearNarrow) {
    const LinearKernels kernels = {"linear_large", "linear_small", "linear_tf32_large", "linear_tf32_small"};
    linear_product(kernels, a.N, a.O, 1, device, out);
    return;
  }
  const char* const exact = a.N <= 8 ? "linear_narrow_8" : a.N <= 16 ? "linear_narrow_16" : "linear_narrow_32";
  const char* const fast = a.N <= 16 ? "linear_tf32_narrow_16" : "linear_tf32_narrow_32";
  const int64_t blocks = blocks_of(a.N, kLinearNarrowRows) * blocks_of(a.O, kLinearNarrowColumns);
  out.add(device.fast_matmul ? fast : exact, blocks, kLinearNarrowThreads);
}

// Parts of the rows that gradWeight is added up from, and rows of each: whole groups of 16 terms.
PREFGRAD_EVERYWHERE int64_t linear_parts(int64_t N, int64_t O, int64_t I) {
  const int64_t tiles = linear_tiles(O, I, kLinearSmall), most = N / kLinearPartRows;
  const int64_t wanted = tiles > 0 ? blocks_of(kLinearTiles, tiles) : 1;
  return most < 2 || wanted < 2 ? 1 : wanted < most ? wanted : most;
}
PREFGRAD_EVERYWHERE int64_t linear_part_rows(int64_t N, int64_t parts) { return blocks_of(blocks_of(N, parts), 16) * 16; }

inline void plan(const LinearBackward& a, Element, const DeviceShape& device, LaunchPlan& out) {
  if (a.want_x != 0) {
    const LinearKernels kernels = {"linear_grad_x_large", "linear_grad_x_small", "linear_grad_x_tf32_large",
                                   "linear_grad_x_tf32_small"};
    linear_product(kernels, a.N, a.I, 1, device, out);
  }
  if (a.want_weight != 0) {
    const int64_t parts = linear_parts(a.N, a.O, a.I);
    const LinearKernels kernels = {"linear_grad_weight_large", "linear_grad_weight_small", "linear_grad_weight_tf32_large",
                                   "linear_grad_weight_tf32_small"};
    linear_product(kernels, a.O, a.I, parts, device, out);
    if (parts > 1) {
      out.workspace_bytes = 4 * static_cast<uint64_t>(parts * a.O * a.I);
      out.add("linear_grad_weight_finish", blocks_of(a.O * a.I, kLinearBiasThreads), kLinearBiasThreads);
    }
  }
  if (a.want_bias != 0) {
    const int64_t parts = blocks_of(a.N, kLinearBiasRows);
    const uint64_t bytes = 8 * static_cast<uint64_t>(parts * a.O);
    if (bytes > out.workspace_bytes) out.workspace_bytes = bytes;
    out.add("linear_grad_bias_parts", parts * blocks_of(a.O, kLinearBiasColumns), kLinearBiasThreads);
    out.add("linear_grad_bias_finish", blocks_of(a.O, kLinearBiasThreads), kLinearBiasThreads);
  }
}

}  // namespace prefgrad
