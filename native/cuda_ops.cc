#include "cuda_ops.h"

#define PREFGRAD_LAUNCHES 1
#include "../kernels/ops.h"

namespace prefgrad {
namespace {

template <typename Args>
void untyped_plan(const void* args, Element element, const DeviceShape& device, LaunchPlan& out) {
  plan(*static_cast<const Args*>(args), element, device, out);
}

#define PREFGRAD_CUDA_ENTRY(op, Args) {op, Layout<Args>::words, Layout<Args>::pointers, untyped_plan<Args>},
const CudaOp entries[] = {PREFGRAD_CUDA_OPS(PREFGRAD_CUDA_ENTRY)};

}  // namespace

CudaOps cuda_ops() { return {entries, sizeof entries / sizeof entries[0]}; }

}  // namespace prefgrad
