// CUDA's language for an ordinary C++ compiler: what the .cu files of this project use of it, and no more. The same sources that
// nvcc compiles run here with one fiber per CUDA thread; scheduler.h says how. Not emulated: the order of weak memory accesses,
// bank conflicts, the bits of ex2.approx, tensor cores and bulk copies (such kernels have a plain twin).
#pragma once
#if !defined(PREFGRAD_CUDA)
#error "compile .cu files with -DPREFGRAD_CUDA"
#endif
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "scheduler.h"

#define __device__
#define __host__
#define __forceinline__ inline
#define PREFGRAD_RESIDENT(threads, blocks) threads
#define PREFGRAD_UNROLL
#define PREFGRAD_ROLLED
#define PREFGRAD_DEVICE static inline
#define PREFGRAD_MEMBER inline

#define threadIdx (emulator::thread_index)
#define blockIdx (emulator::block_index)
#define blockDim (emulator::block_size)
#define gridDim (emulator::grid_size)

// A kernel leaves three symbols that the emulated driver looks up: how to call it, and the limits of a launch.
#define PREFGRAD_KERNEL(name, Args, threads)                                                                   \
  static void name##_body(const prefgrad::Args& a);                                                            \
  extern "C" __attribute__((visibility("default"))) void name##_entry(const void* args) {                      \
    name##_body(*static_cast<const prefgrad::Args*>(args));                                                    \
  }                                                                                                            \
  extern "C" __attribute__((visibility("default"))) const uint32_t name##_limits[2];                           \
  const uint32_t name##_limits[2] = {sizeof(prefgrad::Args), threads};                                         \
  static void name##_body(const prefgrad::Args& a)

// The address of the key tells arrays of a block apart.
#define PREFGRAD_SHARED(T, name, count)   \
  static const char name##_key_ = 0;      \
  T* const name = static_cast<T*>(emulator::shared(&name##_key_, sizeof(T) * (count), alignof(T)))
#define PREFGRAD_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(emulator::dynamic_shared())
#define PREFGRAD_CLUSTER_SHARED(name, rank) \
  (reinterpret_cast<decltype(name + 0)>(emulator::shared_of(&name##_key_, rank)))

inline void __syncthreads() { emulator::block_barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulator::warp_barrier(mask); }
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace emulator {

// A value's bits through the exchange, which carries eight bytes.
template <typename T>
inline T exchanged(unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= 8, "shuffles carry at most eight bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(mask, bits, source);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulator

// A source outside the segment of `width` lanes gives a lane its own value back.
template <typename T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const int lane = emulator::lane();
  return emulator::exchanged(mask, value, (lane & ~(width - 1)) + (source & (width - 1)));
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const int lane = emulator::lane(), source = lane ^ lanes;
  return emulator::exchanged(mask, value, source / width > lane / width ? lane : source);
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32) {
  const int lane = emulator::lane(), source = lane + static_cast<int>(lanes);
  return emulator::exchanged(mask, value, source / width != lane / width ? lane : source);
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32) {
  const int lane = emulator::lane(), source = lane - static_cast<int>(lanes);
  return emulator::exchanged(mask, value, source < (lane & ~(width - 1)) ? lane : source);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) { return emulator::ballot(mask, predicate != 0); }
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }
inline int __syncthreads_or(int predicate) { return emulator::block_or(predicate != 0); }
inline int __syncthreads_and(int predicate) { return !emulator::block_or(predicate == 0); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }

// Atomics return the old value, as CUDA's do.
template <typename T>
inline T atomicAdd(T* p, T value) {
  static_assert(static_cast<T>(0.5) == 0, "no atomics on floating-point numbers: their order is not fixed");
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
template <typename T>
inline T atomicMin(T* p, T value) {
  T seen = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (value < seen && !__atomic_compare_exchange_n(p, &seen, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return seen;
}
template <typename T>
inline T atomicMax(T* p, T value) {
  T seen = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (seen < value && !__atomic_compare_exchange_n(p, &seen, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return seen;
}
template <typename T>
inline T atomicExch(T* p, T value) {
  return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}

namespace prefgrad {

using std::exp;
using std::expm1;
using std::fabs;
using std::floor;
using std::fma;
using std::log;
using std::log1p;
using std::sqrt;

inline unsigned cluster_rank() { return emulator::cluster_rank(); }
inline unsigned cluster_size() { return emulator::cluster_size(); }
inline void cluster_sync() { emulator::cluster_barrier(); }

PREFGRAD_DEVICE float exp2_fast(float x) { return std::exp2(x); }

template <typename T>
inline T read_once(const T* p) {
  static_assert(sizeof(T) == 16, "16 bytes");
  return *p;
}
template <typename T>
inline void write_once(T* p, T value) {
  static_assert(sizeof(T) == 16, "16 bytes");
  *p = value;
}

}  // namespace prefgrad
