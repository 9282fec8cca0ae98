// The part of NVIDIA's driver API that this project uses, found at run time: no CUDA header is included and no CUDA library is
// linked, so that the addon loads on every machine. Names, numbers and layouts are those of the driver's ABI (CUDA Driver API
// reference, version 12 and later).
#pragma once
#include <cstddef>
#include <cstdint>

namespace prefgrad {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = uint64_t;
using CUcontext = void*;
using CUmodule = void*;
using CUfunction = void*;
using CUstream = void*;
using CUevent = void*;
using CUgraph = void*;
using CUgraphNode = void*;
using CUgraphExec = void*;

enum : CUresult {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_IMAGE = 200,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_ECC_UNCORRECTABLE = 214,
  CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_LAUNCH_TIMEOUT = 702,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
  CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
};

enum : int {
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
  CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
  CU_STREAM_NON_BLOCKING = 1,
  CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1,
  CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION = 4,
};

struct CUlaunchAttribute {
  int id;
  char pad[4];
  union {
    char bytes[64];
    struct {
      unsigned x, y, z;
    } cluster;
  } value;
};
static_assert(sizeof(CUlaunchAttribute) == 72, "the driver's layout");

struct CUlaunchConfig {
  unsigned gridDimX, gridDimY, gridDimZ;
  unsigned blockDimX, blockDimY, blockDimZ;
  unsigned sharedMemBytes;
  CUstream hStream;
  CUlaunchAttribute* attrs;
  unsigned numAttrs;
};
static_assert(sizeof(CUlaunchConfig) == 56, "the driver's layout");

struct CUkernelNodeParams {  // CUDA_KERNEL_NODE_PARAMS_v2
  CUfunction func;
  unsigned gridDimX, gridDimY, gridDimZ;
  unsigned blockDimX, blockDimY, blockDimZ;
  unsigned sharedMemBytes;
  void** kernelParams;
  void** extra;
  void* kern;
  CUcontext ctx;
};
static_assert(sizeof(CUkernelNodeParams) == 72, "the driver's layout");

// Exported name, name here, parameters. Names with a version are what the driver's header maps the plain ones to.
#define PREFGRAD_DRIVER(F)                                                                                       \
  F(cuInit, init, (unsigned flags))                                                                              \
  F(cuDriverGetVersion, driver_version, (int* version))                                                          \
  F(cuGetErrorName, error_name, (CUresult error, const char** text))                                             \
  F(cuGetErrorString, error_string, (CUresult error, const char** text))                                         \
  F(cuDeviceGetCount, device_count, (int* count))                                                                \
  F(cuDeviceGet, device_get, (CUdevice * device, int ordinal))                                                   \
  F(cuDeviceGetName, device_name, (char* name, int bytes, CUdevice device))                                      \
  F(cuDeviceGetAttribute, device_attribute, (int* value, int attribute, CUdevice device))                        \
  F(cuDevicePrimaryCtxRetain, context_retain, (CUcontext * context, CUdevice device))                            \
  F(cuDevicePrimaryCtxRelease_v2, context_release, (CUdevice device))                                            \
  F(cuCtxPushCurrent_v2, context_push, (CUcontext context))                                                      \
  F(cuCtxPopCurrent_v2, context_pop, (CUcontext * context))                                                      \
  F(cuModuleLoadData, module_load, (CUmodule * module, const void* image))                                       \
  F(cuModuleUnload, module_unload, (CUmodule module))                                                            \
  F(cuModuleGetFunction, module_function, (CUfunction * function, CUmodule module, const char* name))            \
  F(cuFuncSetAttribute, function_set, (CUfunction function, int attribute, int value))                           \
  F(cuStreamCreate, stream_create, (CUstream * stream, unsigned flags))                                          \
  F(cuStreamDestroy_v2, stream_destroy, (CUstream stream))                                                       \
  F(cuStreamSynchronize, stream_synchronize, (CUstream stream))                                                  \
  F(cuStreamBeginCapture_v2, capture_begin, (CUstream stream, int mode))                                         \
  F(cuStreamEndCapture, capture_end, (CUstream stream, CUgraph * graph))                                         \
  F(cuStreamGetCaptureInfo_v2, capture_info,                                                                     \
    (CUstream stream, int* status, uint64_t* id, CUgraph* graph, const CUgraphNode** last, size_t* count))       \
  F(cuGraphInstantiateWithFlags, graph_instantiate, (CUgraphExec * made, CUgraph graph, unsigned long long flags)) \
  F(cuGraphExecKernelNodeSetParams_v2, graph_set,                                                                \
    (CUgraphExec graph, CUgraphNode node, const CUkernelNodeParams* params))                                     \
  F(cuGraphLaunch, graph_launch, (CUgraphExec graph, CUstream stream))                                           \
  F(cuGraphExecDestroy, graph_exec_destroy, (CUgraphExec graph))                                                 \
  F(cuGraphDestroy, graph_destroy, (CUgraph graph))                                                              \
  F(cuMemAlloc_v2, mem_alloc, (CUdeviceptr * pointer, size_t bytes))                                             \
  F(cuMemFree_v2, mem_free, (CUdeviceptr pointer))                                                               \
  F(cuMemGetInfo_v2, mem_info, (size_t* free, size_t* total))                                                    \
  F(cuMemHostAlloc, host_alloc, (void** pointer, size_t bytes, unsigned flags))                                  \
  F(cuMemFreeHost, host_free, (void* pointer))                                                                   \
  F(cuMemcpyHtoDAsync_v2, copy_in, (CUdeviceptr to, const void* from, size_t bytes, CUstream stream))            \
  F(cuMemcpyDtoHAsync_v2, copy_out, (void* to, CUdeviceptr from, size_t bytes, CUstream stream))                 \
  F(cuMemsetD8Async, fill, (CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream))                 \
  F(cuEventCreate, event_create, (CUevent * event, unsigned flags))                                              \
  F(cuEventDestroy_v2, event_destroy, (CUevent event))                                                           \
  F(cuEventRecord, event_record, (CUevent event, CUstream stream))                                               \
  F(cuEventSynchronize, event_synchronize, (CUevent event))                                                      \
  F(cuEventElapsedTime, event_elapsed, (float* milliseconds, CUevent start, CUevent end))                        \
  F(cuLaunchKernelEx, launch, (const CUlaunchConfig* config, CUfunction function, void** params, void** extra))

struct CudaDriver {
#define PREFGRAD_DRIVER_FIELD(exported, name, params) CUresult(*name) params = nullptr;
  PREFGRAD_DRIVER(PREFGRAD_DRIVER_FIELD)
#undef PREFGRAD_DRIVER_FIELD
};

// The driver in the library `path` (null or empty: the system's), loaded once for each path and never unloaded. Null when it
// cannot be had; `why` then says why, in at most `bytes` characters.
const CudaDriver* load_cuda_driver(const char* path, char* why, size_t bytes);

}  // namespace prefgrad
