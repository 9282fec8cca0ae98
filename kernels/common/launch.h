// What `<op>.launch.h` says of an op: which kernels run, in which order, on how many blocks of how many threads, and how much
// scratch they share. `plan` is a pure function of the arguments' sizes and settings (never of data, and never of options that a
// prepared call may change), the element type and the device. Plain C++: no CUDA header is needed.
#pragma once
#include <cstdint>

// A function that a plan and its kernels share.
#if defined(__CUDACC__)
#define PREFGRAD_EVERYWHERE __host__ __device__ inline
#else
#define PREFGRAD_EVERYWHERE inline
#endif

namespace prefgrad {

enum class Element { f32, bf16, f16 };

// What plans may depend on. Results never depend on the GPU; only who opened the device chooses `fast_matmul`.
struct DeviceShape {
  int multiprocessors;
  int capability;  // 90 for compute capability 9.0
  bool fast_matmul = false;  // matrix products on tensor cores, from numbers of 11 bits
  bool has_clusters() const { return capability >= 90; }
};

struct KernelLaunch {
  const char* kernel;
  int64_t blocks;
  int threads;
  int shared_bytes;  // dynamic shared memory
  int cluster;       // blocks in a cluster; 1: none
};

struct LaunchPlan {
  static constexpr int most = 16;
  KernelLaunch launches[most];
  int count = 0;
  uint64_t workspace_bytes = 0;

  // Nothing is launched over no blocks.
  void add(const char* kernel, int64_t blocks, int threads, int shared_bytes = 0, int cluster = 1) {
    if (blocks > 0) launches[count++] = {kernel, blocks, threads, shared_bytes, cluster};
  }
};

PREFGRAD_EVERYWHERE int64_t blocks_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

// The kernel of an element type.
inline const char* kernel_for(Element element, const char* f32, const char* bf16, const char* f16) {
  return element == Element::f32 ? f32 : element == Element::bf16 ? bf16 : f16;
}

}  // namespace prefgrad
