// What a .cu file stands on: nvcc's language on a GPU, and native/emulator/language.h where the same file runs on a CPU.
// Kernels are one `PREFGRAD_KERNEL(name, Args, threads) { ... }` each: `a` is the op's argument struct, in constant memory,
// and the grid is one-dimensional. Shared memory is declared by macro, so that the emulator can give every block its own.
#pragma once
#if !defined(__CUDACC__)
#include "../../native/emulator/language.h"
#endif
#include "args.h"

#if defined(__CUDACC__)

// The struct travels as the kernel's only parameter, so a launch needs no copy of its own.
#define PREFGRAD_KERNEL(name, Args, threads) \
  extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ prefgrad::Args a)
// In place of `threads`: registers are kept few enough that so many blocks fit on a multiprocessor.
#define PREFGRAD_RESIDENT(threads, blocks) threads, blocks
#define PREFGRAD_UNROLL _Pragma("unroll")
#define PREFGRAD_ROLLED _Pragma("unroll 1")
#define PREFGRAD_DEVICE static __device__ __forceinline__
#define PREFGRAD_MEMBER __device__ __forceinline__
#define PREFGRAD_SHARED(T, name, count) __shared__ T name[count]
// As many bytes as the launch asks for.
#define PREFGRAD_DYNAMIC_SHARED(T, name) T* const name = reinterpret_cast<T*>(prefgrad_dynamic_shared)
extern __shared__ __align__(16) unsigned char prefgrad_dynamic_shared[];

namespace prefgrad {

// Place of this block in its cluster, and a block's array as another block of the cluster sees it (sm_90 and later).
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
PREFGRAD_DEVICE unsigned cluster_rank() {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
PREFGRAD_DEVICE unsigned cluster_size() {
  unsigned size;
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  return size;
}
PREFGRAD_DEVICE void cluster_sync() {
  asm volatile("barrier.cluster.arrive.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
}
template <typename T>
PREFGRAD_DEVICE T* cluster_pointer(T* mine, unsigned rank) {
  T* theirs;
  asm("mapa.u64 %0, %1, %2;" : "=l"(theirs) : "l"(mine), "r"(rank));
  return theirs;
}
#else
// A cluster of one: kernels that need more compile, and are never launched.
PREFGRAD_DEVICE unsigned cluster_rank() { return 0; }
PREFGRAD_DEVICE unsigned cluster_size() { return 1; }
PREFGRAD_DEVICE void cluster_sync() { __syncthreads(); }
template <typename T>
PREFGRAD_DEVICE T* cluster_pointer(T* mine, unsigned) {
  return mine;
}
#endif
#define PREFGRAD_CLUSTER_SHARED(name, rank) (prefgrad::cluster_pointer(name, rank))

// 2^x to 2 ULP, in one instruction; subnormal results are kept.
PREFGRAD_DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// 16 bytes that are read once (they leave no trace in the first-level cache), and written once.
template <typename T>
PREFGRAD_DEVICE T read_once(const T* p) {
  static_assert(sizeof(T) == 16, "16 bytes");
  uint32_t w[4];
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
      : "l"(p));
  T value;
  memcpy(&value, w, 16);
  return value;
}
template <typename T>
PREFGRAD_DEVICE void write_once(T* p, T value) {
  static_assert(sizeof(T) == 16, "16 bytes");
  uint32_t w[4];
  memcpy(w, &value, 16);
  asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]) : "memory");
}

}  // namespace prefgrad

#endif

namespace prefgrad {

constexpr int kWarp = 32;
constexpr unsigned kFullMask = 0xffffffffu;

// Bits of numbers, for tests that hold for NaN.
PREFGRAD_DEVICE uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
PREFGRAD_DEVICE float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
PREFGRAD_DEVICE float nan_f32() { return float_of(0x7fc00000u); }

// Four numbers that move as one load or store; the address must be a multiple of 16.
struct alignas(16) Float4 {
  float x[4];
};
// Two, at a multiple of 8.
struct alignas(8) Float2 {
  float x[2];
};
// Sixteen bytes as eight 16-bit numbers.
struct alignas(16) Half8 {
  uint16_t x[8];
};
template <typename T>
PREFGRAD_DEVICE bool is_aligned(const T* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

// This thread among all of the grid, and how many there are.
PREFGRAD_DEVICE int64_t global_thread() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
PREFGRAD_DEVICE int64_t global_threads() { return int64_t{gridDim.x} * blockDim.x; }

}  // namespace prefgrad
