// The ops that have CUDA kernels: kernels/ops.h as a table of how to plan their launches.
#pragma once
#include <cstddef>

#include "../kernels/common/launch.h"

namespace prefgrad {

struct CudaOp {
  const char* op;
  uint32_t words;     // argument words before the first pointer
  uint32_t pointers;  // inputs, outputs, workspace, fault
  void (*plan)(const void* args, Element element, const DeviceShape& device, LaunchPlan& plan);
};

struct CudaOps {
  const CudaOp* entries;
  size_t count;
};

CudaOps cuda_ops();

}  // namespace prefgrad
