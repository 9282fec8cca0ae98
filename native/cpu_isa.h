// The kernels that were compiled for one instruction set: kernels/ops.h as a table.
#pragma once
#include <cstddef>

#include "../kernels/common/args.h"

namespace prefgrad {

struct KernelEntry {
  const char* op;
  const char* pass;
  const char* dtype;
  uint32_t words;     // argument words before the first pointer
  uint32_t pointers;  // inputs, outputs, workspace, fault
  CpuKernel run;
};

struct KernelList {
  const char* isa;
  const KernelEntry* entries;
  size_t count;
};

KernelList kernels_baseline();
#if defined(__x86_64__)
KernelList kernels_avx2();
KernelList kernels_avx512();
#endif

}  // namespace prefgrad
