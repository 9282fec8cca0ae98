// What every kernel is handed. A call is one block of 8-byte words, and that block is the op's argument struct:
//   present   one bit per input, then per output: given or wanted
//   dims      int64, N, B, T first where the op has sequences, then in the order of the row's shapes
//   options   number: double (NaN when left out); integer, boolean, enum: int64 (-1 when left out); seed: uint64
//   derived   double
//   accumulate  int64, bit per output: add to what it holds (only in ops with gradient outputs)
//   pointers  inputs, outputs, workspace, fault (null when absent)
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#if !defined(PREFGRAD_CUDA)
#include <atomic>
#endif

namespace prefgrad {

// The first value of a call that a kernel could not use: the smallest (argument, flat index) wins, whatever the threads do.
struct Fault {
  static constexpr uint64_t none = ~uint64_t{0};
  // On a GPU every op has a word of its own among so many.
  static constexpr int most_ops = 128;
#if defined(PREFGRAD_CUDA)
  unsigned long long first;

  // Blocks of the running kernel that are done, counted from all bits set: common/arrivals.cuda.h. Behind all the faults.
  __device__ unsigned* arrivals() { return reinterpret_cast<unsigned*>(this + most_ops); }

  // `argument` is the input's place in the row.
  __device__ void report(unsigned argument, int64_t index) {
    atomicMin(&first, static_cast<unsigned long long>(argument) << 48 | static_cast<unsigned long long>(index));
  }
#else
  std::atomic<uint64_t> first{none};

  void report(unsigned argument, int64_t index) {
    const uint64_t mine = uint64_t{argument} << 48 | static_cast<uint64_t>(index);
    uint64_t seen = first.load(std::memory_order_relaxed);
    while (mine < seen && !first.compare_exchange_weak(seen, mine, std::memory_order_relaxed)) {
    }
  }
#endif
};

// Work items [begin, end) of one pass; `worker` counts from 0 below the device's threads and picks scratch space.
using CpuKernel = void (*)(const void* args, int64_t begin, int64_t end, int worker);

// How many words of a struct come before its pointers, and how many pointers there are. The addon reports both at load, where
// they are compared with the op table.
template <typename Args>
struct Layout;
#define PREFGRAD_LAYOUT(Args, first_pointer)                                                     \
  static_assert(sizeof(Args) % 8 == 0 && alignof(Args) == 8, #Args ": a block of 8-byte words");   \
  template <>                                                                                    \
  struct Layout<Args> {                                                                          \
    static constexpr uint32_t words = offsetof(Args, first_pointer) / 8;                         \
    static constexpr uint32_t pointers = (sizeof(Args) - offsetof(Args, first_pointer)) / 8;     \
  }

}  // namespace prefgrad
