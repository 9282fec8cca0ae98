// Runs the threads of a CUDA block, or of a cluster of blocks, as fibers on one CPU thread. A fiber runs until it meets others
// (a barrier, a shuffle, a vote) and waits there; which fiber goes on next is the schedule: in order, reversed, or random.
//
// Warps run ahead of each other as far as barriers allow, so that a missing __syncthreads shows; lanes of a warp run one
// after the other between shuffles, so that a missing __syncwarp shows. Checked on the way: masks that differ, lanes that left
// while others wait, threads that left before a barrier, waits that never end. Shared memory is new, and full of NaN, for every
// block.
#pragma once
#include <cstddef>
#include <cstdint>

namespace emulator {

struct Index {
  unsigned x = 1, y = 1, z = 1;
};
// Of the fiber that runs.
extern Index thread_index, block_index, block_size, grid_size;

// Called by kernels.
void block_barrier();
int block_or(bool predicate);
void cluster_barrier();
void warp_barrier(unsigned mask);
uint64_t exchange(unsigned mask, uint64_t value, int source_lane);
unsigned ballot(unsigned mask, bool predicate);
int lane();
unsigned cluster_rank();
unsigned cluster_size();
// A block's own array, the same for all its threads; `key` tells arrays apart.
void* shared(const void* key, size_t bytes, size_t alignment);
// The array of another block of the cluster.
void* shared_of(const void* key, unsigned rank);
void* dynamic_shared();

// Called by the driver.
enum class Order { forward, reversed, random };
struct Schedule {
  Order order = Order::forward;
  uint64_t seed = 1;
};
struct Grid {
  unsigned blocks, threads, cluster, shared_bytes;
};
using Entry = void (*)(const void* args);

// Runs a kernel to its end. Null when all went well; else what was wrong, in words that stay valid until the next run.
const char* run(Entry entry, const void* args, const Grid& grid, const Schedule& schedule);

}  // namespace emulator
