// One opened CPU device: the kernels of an ISA, a thread pool, and scratch memory that grows to what calls ask for.
#pragma once
#include <cstdlib>
#include <memory>
#include <string>

#include "cpu_isa.h"
#include "thread_pool.h"

namespace prefgrad {

// The lists that this processor can run, best first.
size_t available_isas(KernelList (&lists)[3]);

class CpuDevice {
 public:
  // `grain`: elements below which work stays on one thread.
  CpuDevice(KernelList kernels, int threads, double grain) : kernels_(kernels), pool_(threads), grain_(grain) {}
  ~CpuDevice() { std::free(scratch_); }
  CpuDevice(const CpuDevice&) = delete;
  CpuDevice& operator=(const CpuDevice&) = delete;

  const KernelList& kernels() const { return kernels_; }
  int threads() const { return pool_.threads(); }

  // Scratch of at least `bytes`, 64-byte aligned and uninitialised; null when there is no memory.
  void* scratch(size_t bytes);

  // One pass; `work` is about how many elements an item touches.
  void run(const KernelEntry& kernel, const void* args, int64_t items, double work);

 private:
  KernelList kernels_;
  ThreadPool pool_;
  double grain_;
  void* scratch_ = nullptr;
  size_t scratch_bytes_ = 0;
};

}  // namespace prefgrad
