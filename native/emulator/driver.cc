// A libcuda.so of our own: the functions that native/cuda_driver.h lists, on ordinary memory, with every launch sent to the
// emulated kernels. What a GPU would do later happens at once. Environment variables steer it, and may change at any time:
//   PREFGRAD_EMULATOR_SCHEDULE  forward (default), reversed, or random:<seed>
//   PREFGRAD_EMULATOR_VERSION   the CUDA version of this driver (default 13000)
//   PREFGRAD_EMULATOR_FAIL      <k>:<error>: the k-th call from now on fails with this CUresult (queries of errors do not count)
// Device memory is exactly as large as it was asked for, full of NaN at first, and lies between guard bytes that are looked at
// after every launch; cuMemGetInfo tells the bytes in use, so that a leak shows.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../cuda_driver.h"
#include "scheduler.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

using namespace prefgrad;

namespace {

constexpr size_t kGuard = 64;
constexpr unsigned char kGuardByte = 0xa5;
constexpr size_t kTotalBytes = size_t{4} << 30;
constexpr size_t kSharedByDefault = 48 << 10, kSharedAtMost = 227 << 10;
constexpr unsigned kMostThreads = 1024, kMostCluster = 8;
constexpr int kCaptureActive = 1;

struct Kernel {
  std::string name;
  emulator::Entry entry = nullptr;
  uint32_t argument_bytes = 0;
  uint32_t most_threads = 0;
  size_t shared_limit = kSharedByDefault;
};

// One launch with its arguments: run at once, or kept in a graph.
struct Node {
  Kernel* kernel;
  emulator::Grid grid;
  std::vector<char> arguments;
};
struct Graph {
  std::vector<std::unique_ptr<Node>> nodes;
};
struct GraphExec {
  std::vector<Node*> keys;
  std::vector<Node> nodes;
};
struct Stream {
  Graph* capture = nullptr;
  Node* last = nullptr;
};

struct Driver {
  std::mutex turn;
  bool ready = false;
  int retained = 0;
  std::thread::id thread;  // whose calls count
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
  std::map<CUdeviceptr, size_t> memory;
  size_t used = 0;
  // After a fault nothing works until the context is gone, as on a GPU.
  CUresult broken = CUDA_SUCCESS;
  std::string problem;
  std::string failure;
  uint64_t calls = 0;
};
Driver driver;
thread_local CUcontext current;
int device_tag;

// Counts the call, and says whether it has to fail.
CUresult enter() {
  if (driver.ready && std::this_thread::get_id() != driver.thread) return CUDA_SUCCESS;
  const char* set = std::getenv("PREFGRAD_EMULATOR_FAIL");
  const std::string failure = set == nullptr ? "" : set;
  if (failure != driver.failure) {
    driver.failure = failure;
    driver.calls = 0;
  }
  ++driver.calls;
  if (failure.empty()) return CUDA_SUCCESS;
  const size_t colon = failure.find(':');
  if (colon == std::string::npos || std::strtoull(failure.c_str(), nullptr, 10) != driver.calls) return CUDA_SUCCESS;
  return std::atoi(failure.c_str() + colon + 1);
}
// For calls that need a context, too.
CUresult enter_context() {
  const CUresult failed = enter();
  if (failed != CUDA_SUCCESS) return failed;
  if (current == nullptr) return 201;  // CUDA_ERROR_INVALID_CONTEXT
  return driver.broken;
}
// Threads take turns, as the kernels that they launch would on one GPU.
#define IN_TURN const std::lock_guard<std::mutex> turn_(driver.turn)
#define ENTER(how)                                              \
  IN_TURN;                                                      \
  do {                                                          \
    const CUresult failed_ = how();                             \
    if (failed_ != CUDA_SUCCESS) return failed_;                \
  } while (false)

emulator::Schedule schedule() {
  const char* set = std::getenv("PREFGRAD_EMULATOR_SCHEDULE");
  if (set == nullptr || std::strcmp(set, "forward") == 0) return {};
  if (std::strcmp(set, "reversed") == 0) return {emulator::Order::reversed, 1};
  return {emulator::Order::random, std::strncmp(set, "random:", 7) == 0 ? std::strtoull(set + 7, nullptr, 10) : 1};
}

CUresult break_down(CUresult error, const std::string& problem) {
  driver.problem = problem;
  std::fprintf(stderr, "cuda:emulated: %s\n", problem.c_str());
  return driver.broken = error;
}

bool guards_hold() {
  for (const auto& [pointer, bytes] : driver.memory) {
    const unsigned char* data = reinterpret_cast<const unsigned char*>(pointer);
    for (size_t i = 1; i <= kGuard; ++i) {
      if (data[-static_cast<ptrdiff_t>(i)] != kGuardByte || data[bytes + i - 1] != kGuardByte) return false;
    }
  }
  return true;
}

CUresult execute(const Node& node) {
  const char* problem = emulator::run(node.kernel->entry, node.arguments.data(), node.grid, schedule());
  if (problem != nullptr) return break_down(CUDA_ERROR_LAUNCH_FAILED, node.kernel->name + ": " + problem);
  if (!guards_hold()) return break_down(CUDA_ERROR_ILLEGAL_ADDRESS, node.kernel->name + ": wrote beyond a piece of memory");
  return CUDA_SUCCESS;
}

CUresult check(const Kernel& kernel, const emulator::Grid& grid) {
  const bool fits = grid.blocks > 0 && grid.threads > 0 && grid.threads <= std::min(kMostThreads, kernel.most_threads) &&
                    grid.cluster > 0 && grid.cluster <= kMostCluster && grid.blocks % grid.cluster == 0;
  if (!fits) return CUDA_ERROR_INVALID_VALUE;
  return grid.shared_bytes <= kernel.shared_limit ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

std::vector<char> argument_bytes(const Kernel& kernel, void** params) {
  const char* data = static_cast<const char*>(params[0]);
  return std::vector<char>(data, data + kernel.argument_bytes);
}

bool inside(CUdeviceptr pointer, size_t bytes) {
  auto after = driver.memory.upper_bound(pointer);
  if (after == driver.memory.begin()) return bytes == 0;
  --after;
  return pointer + bytes <= after->first + after->second;
}

}  // namespace

EXPORTED CUresult cuInit(unsigned) {
  ENTER(enter);
  driver.ready = true;
  driver.thread = std::this_thread::get_id();
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuDriverGetVersion(int* version) {
  ENTER(enter);
  const char* set = std::getenv("PREFGRAD_EMULATOR_VERSION");
  *version = set == nullptr ? 13000 : std::atoi(set);
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuGetErrorName(CUresult error, const char** text) {
  switch (error) {
    case CUDA_ERROR_INVALID_VALUE: *text = "CUDA_ERROR_INVALID_VALUE"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *text = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case CUDA_ERROR_ECC_UNCORRECTABLE: *text = "CUDA_ERROR_ECC_UNCORRECTABLE"; break;
    case CUDA_ERROR_ILLEGAL_ADDRESS: *text = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case CUDA_ERROR_LAUNCH_TIMEOUT: *text = "CUDA_ERROR_LAUNCH_TIMEOUT"; break;
    case CUDA_ERROR_LAUNCH_FAILED: *text = "CUDA_ERROR_LAUNCH_FAILED"; break;
    default: *text = "CUDA_ERROR_UNKNOWN";
  }
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuGetErrorString(CUresult error, const char** text) {
  static thread_local char number[32];
  std::snprintf(number, sizeof number, "error %d", error);
  *text = error == driver.broken && !driver.problem.empty() ? driver.problem.c_str() : number;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuDeviceGetCount(int* count) {
  ENTER(enter);
  *count = 1;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  ENTER(enter);
  if (ordinal != 0) return CUDA_ERROR_INVALID_DEVICE;
  *device = 0;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuDeviceGetName(char* name, int bytes, CUdevice) {
  ENTER(enter);
  std::snprintf(name, static_cast<size_t>(bytes), "emulated");
  return CUDA_SUCCESS;
}
// Two multiprocessors: small inputs then already take several rounds. 9.0: clusters are used.
EXPORTED CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice) {
  ENTER(enter);
  const char* capability = std::getenv("PREFGRAD_EMULATOR_CAPABILITY");
  const int number = capability == nullptr ? 90 : std::atoi(capability);
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 2; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = number / 10; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = number % 10; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  ENTER(enter);
  ++driver.retained;
  *context = &device_tag;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) {
  ENTER(enter);
  if (--driver.retained > 0) return CUDA_SUCCESS;
  // The last one takes everything along, a breakdown included.
  for (const auto& [pointer, bytes] : driver.memory) std::free(reinterpret_cast<char*>(pointer) - kGuard);
  driver.memory.clear();
  driver.used = 0;
  driver.broken = CUDA_SUCCESS;
  driver.problem.clear();
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuCtxPushCurrent_v2(CUcontext context) {
  ENTER(enter);
  current = context;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuCtxPopCurrent_v2(CUcontext* context) {
  if (context != nullptr) *context = current;
  current = nullptr;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuModuleLoadData(CUmodule* module, const void*) {
  ENTER(enter_context);
  *module = &driver;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuModuleUnload(CUmodule) {
  ENTER(enter_context);
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuModuleGetFunction(CUfunction* function, CUmodule, const char* name) {
  ENTER(enter_context);
  std::unique_ptr<Kernel>& kernel = driver.kernels[name];
  if (kernel == nullptr) {
    // The kernels are in this very library.
    Dl_info here;
    if (dladdr(reinterpret_cast<void*>(&cuInit), &here) == 0) return CUDA_ERROR_NOT_FOUND;
    void* library = dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    if (library == nullptr) return CUDA_ERROR_NOT_FOUND;
    void* entry = dlsym(library, (std::string(name) + "_entry").c_str());
    const void* limits = dlsym(library, (std::string(name) + "_limits").c_str());
    dlclose(library);
    if (entry == nullptr || limits == nullptr) return CUDA_ERROR_NOT_FOUND;
    kernel = std::make_unique<Kernel>();
    kernel->name = name;
    kernel->entry = reinterpret_cast<emulator::Entry>(entry);
    kernel->argument_bytes = static_cast<const uint32_t*>(limits)[0];
    kernel->most_threads = static_cast<const uint32_t*>(limits)[1];
  }
  *function = kernel.get();
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
  ENTER(enter_context);
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0) return CUDA_ERROR_INVALID_VALUE;
  if (static_cast<size_t>(value) > kSharedAtMost) return CUDA_ERROR_INVALID_VALUE;
  static_cast<Kernel*>(function)->shared_limit = static_cast<size_t>(value);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuStreamCreate(CUstream* stream, unsigned) {
  ENTER(enter_context);
  *stream = new Stream;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuStreamDestroy_v2(CUstream stream) {
  IN_TURN;
  delete static_cast<Stream*>(stream);
  return enter_context();
}
EXPORTED CUresult cuStreamSynchronize(CUstream) {
  ENTER(enter_context);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuStreamBeginCapture_v2(CUstream stream, int) {
  ENTER(enter_context);
  static_cast<Stream*>(stream)->capture = new Graph;
  static_cast<Stream*>(stream)->last = nullptr;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  IN_TURN;
  Stream& self = *static_cast<Stream*>(stream);
  Graph* const captured = self.capture;
  self.capture = nullptr;
  const CUresult failed = enter_context();
  if (failed != CUDA_SUCCESS || captured == nullptr) {
    delete captured;
    *graph = nullptr;
    return failed != CUDA_SUCCESS ? failed : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  }
  *graph = captured;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuStreamGetCaptureInfo_v2(CUstream stream, int* status, uint64_t* id, CUgraph* graph,
                                            const CUgraphNode** last, size_t* count) {
  ENTER(enter_context);
  Stream& self = *static_cast<Stream*>(stream);
  *status = self.capture != nullptr ? kCaptureActive : 0;
  if (id != nullptr) *id = 1;
  if (graph != nullptr) *graph = self.capture;
  if (last != nullptr) *last = reinterpret_cast<const CUgraphNode*>(&self.last);
  if (count != nullptr) *count = self.last != nullptr ? 1 : 0;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuGraphInstantiateWithFlags(CUgraphExec* made, CUgraph graph, unsigned long long) {
  ENTER(enter_context);
  GraphExec* const exec = new GraphExec;
  for (const auto& node : static_cast<Graph*>(graph)->nodes) {
    exec->keys.push_back(node.get());
    exec->nodes.push_back(*node);
  }
  *made = exec;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec graph, CUgraphNode node, const CUkernelNodeParams* params) {
  ENTER(enter_context);
  GraphExec& exec = *static_cast<GraphExec*>(graph);
  const auto place = std::find(exec.keys.begin(), exec.keys.end(), static_cast<Node*>(node));
  if (place == exec.keys.end()) return CUDA_ERROR_INVALID_VALUE;
  Node& own = exec.nodes[static_cast<size_t>(place - exec.keys.begin())];
  if (params->func != own.kernel) return CUDA_ERROR_INVALID_VALUE;
  own.grid.blocks = params->gridDimX;
  own.grid.threads = params->blockDimX;
  own.grid.shared_bytes = params->sharedMemBytes;
  own.arguments = argument_bytes(*own.kernel, params->kernelParams);
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuGraphLaunch(CUgraphExec graph, CUstream) {
  ENTER(enter_context);
  for (const Node& node : static_cast<GraphExec*>(graph)->nodes) {
    const CUresult failed = execute(node);
    if (failed != CUDA_SUCCESS) return failed;
  }
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuGraphExecDestroy(CUgraphExec graph) {
  IN_TURN;
  delete static_cast<GraphExec*>(graph);
  return enter_context();
}
EXPORTED CUresult cuGraphDestroy(CUgraph graph) {
  IN_TURN;
  delete static_cast<Graph*>(graph);
  return enter_context();
}

EXPORTED CUresult cuMemAlloc_v2(CUdeviceptr* pointer, size_t bytes) {
  ENTER(enter_context);
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > kTotalBytes - driver.used) return CUDA_ERROR_OUT_OF_MEMORY;
  void* data = nullptr;
  if (posix_memalign(&data, 256, bytes + kGuard + 256) != 0) return CUDA_ERROR_OUT_OF_MEMORY;
  // The tensor itself begins at a multiple of 64 that is no multiple of 256: plans may count on 16.
  char* const start = static_cast<char*>(data);
  std::memset(start, kGuardByte, kGuard);
  std::memset(start + kGuard, 0xff, bytes);
  std::memset(start + kGuard + bytes, kGuardByte, kGuard);
  *pointer = reinterpret_cast<CUdeviceptr>(start + kGuard);
  driver.memory[*pointer] = bytes;
  driver.used += bytes;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuMemFree_v2(CUdeviceptr pointer) {
  IN_TURN;
  const CUresult failed = enter();
  const auto place = driver.memory.find(pointer);
  if (place == driver.memory.end()) return CUDA_ERROR_INVALID_VALUE;
  driver.used -= place->second;
  std::free(reinterpret_cast<char*>(pointer) - kGuard);
  driver.memory.erase(place);
  return failed != CUDA_SUCCESS ? failed : driver.broken;
}
EXPORTED CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  ENTER(enter_context);
  *free = kTotalBytes - driver.used;
  *total = kTotalBytes;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuMemHostAlloc(void** pointer, size_t bytes, unsigned) {
  ENTER(enter_context);
  *pointer = std::malloc(bytes);
  return *pointer == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}
EXPORTED CUresult cuMemFreeHost(void* pointer) {
  IN_TURN;
  std::free(pointer);
  return enter();
}
EXPORTED CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream) {
  ENTER(enter_context);
  if (!inside(to, bytes)) return break_down(CUDA_ERROR_INVALID_VALUE, "a copy to the device that does not fit");
  std::memcpy(reinterpret_cast<void*>(to), from, bytes);
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream) {
  ENTER(enter_context);
  if (!inside(from, bytes)) return break_down(CUDA_ERROR_INVALID_VALUE, "a copy from the device that does not fit");
  std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream) {
  ENTER(enter_context);
  if (!inside(to, bytes)) return break_down(CUDA_ERROR_INVALID_VALUE, "a fill that does not fit");
  std::memset(reinterpret_cast<void*>(to), value, bytes);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuEventCreate(CUevent* event, unsigned) {
  ENTER(enter_context);
  *event = new char;
  return CUDA_SUCCESS;
}
EXPORTED CUresult cuEventDestroy_v2(CUevent event) {
  IN_TURN;
  delete static_cast<char*>(event);
  return enter();
}
EXPORTED CUresult cuEventRecord(CUevent, CUstream) {
  ENTER(enter_context);
  return CUDA_SUCCESS;
}
// Called on another thread, while the first one may launch: touches nothing.
EXPORTED CUresult cuEventSynchronize(CUevent) { return CUDA_SUCCESS; }
EXPORTED CUresult cuEventElapsedTime(float* milliseconds, CUevent, CUevent) {
  ENTER(enter_context);
  *milliseconds = 0.0f;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params, void**) {
  ENTER(enter_context);
  Kernel& kernel = *static_cast<Kernel*>(function);
  emulator::Grid grid = {config->gridDimX, config->blockDimX, 1, config->sharedMemBytes};
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) grid.cluster = config->attrs[i].value.cluster.x;
  }
  const CUresult wrong = check(kernel, grid);
  if (wrong != CUDA_SUCCESS) return wrong;
  Node node = {&kernel, grid, argument_bytes(kernel, params)};
  Stream& stream = *static_cast<Stream*>(config->hStream);
  if (stream.capture == nullptr) return execute(node);
  stream.capture->nodes.push_back(std::make_unique<Node>(std::move(node)));
  stream.last = stream.capture->nodes.back().get();
  return CUDA_SUCCESS;
}
