// The block of a launch that comes last finishes what the others began, which saves a launch. Nobody waits: blocks count
// themselves as they leave, and the last one sets the count back for the next launch.
#pragma once
#include "cuda.h"

namespace prefgrad {

// True for all threads of the block that calls this last, which then sees all that any thread wrote before its own call.
// Every block of the launch must call it once, with all threads.
PREFGRAD_DEVICE bool is_last_block(Fault* fault) {
  if (gridDim.x == 1) {
    __syncthreads();
    return true;
  }
  PREFGRAD_SHARED(unsigned, earlier, 1);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    earlier[0] = atomicAdd(fault->arrivals(), 1u) + 1u;
    if (earlier[0] == gridDim.x - 1) atomicExch(fault->arrivals(), ~0u);
    __threadfence();
  }
  __syncthreads();
  return earlier[0] == gridDim.x - 1;
}

}  // namespace prefgrad
