#include "cuda_device.h"

#include <algorithm>
#include <cstring>

#include "../kernels/common/args.h"

namespace prefgrad {
namespace {

constexpr size_t kStagingBytes = size_t{4} << 20;

CUlaunchConfig config_of(const KernelLaunch& launch, CUstream stream, CUlaunchAttribute* attribute) {
  CUlaunchConfig config = {};
  config.gridDimX = static_cast<unsigned>(launch.blocks);
  config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = static_cast<unsigned>(launch.threads);
  config.blockDimY = config.blockDimZ = 1;
  config.sharedMemBytes = static_cast<unsigned>(launch.shared_bytes);
  config.hStream = stream;
  if (launch.cluster > 1) {
    *attribute = {};
    attribute->id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute->value.cluster = {static_cast<unsigned>(launch.cluster), 1, 1};
    config.attrs = attribute;
    config.numAttrs = 1;
  }
  return config;
}

// The last two pointers of an argument struct.
void set_tail(const CudaOp& op, void* args, CUdeviceptr workspace, CUdeviceptr fault) {
  uint64_t* const words = static_cast<uint64_t*>(args);
  words[op.words + op.pointers - 2] = workspace;
  words[op.words + op.pointers - 1] = fault;
}

}  // namespace

// The context is ours only while a call lasts: another addon may have its own.
class CudaDevice::Current {
 public:
  explicit Current(CudaDevice& device) : driver_(device.driver_) {
    code_ = device.note(driver_.context_push(device.context_), "cuCtxPushCurrent");
  }
  ~Current() {
    CUcontext ours = nullptr;
    if (code_ == CUDA_SUCCESS) driver_.context_pop(&ours);
  }
  CUresult code() const { return code_; }

 private:
  const CudaDriver& driver_;
  CUresult code_;
};

#define TRY(call)                                              \
  do {                                                         \
    const CUresult code_ = note(driver_.call, #call);          \
    if (code_ != CUDA_SUCCESS) return code_;                   \
  } while (false)
#define WITH_CONTEXT()                                         \
  const Current current(*this);                                \
  if (current.code() != CUDA_SUCCESS) return current.code()

CUresult CudaDevice::note(CUresult code, const char* call, double wanted) {
  if (code == CUDA_SUCCESS) return code;
  const char *name = "", *text = "";
  driver_.error_name(code, &name);
  driver_.error_string(code, &text);
  const char* const open = std::strchr(call, '(');
  error_ = {code, name == nullptr ? "" : name, text == nullptr ? "" : text,
            open == nullptr ? call : std::string(call, open), wanted};
  return code;
}

CudaDevice::CudaDevice(const CudaDriver& driver, int index, const void* image, const Settings& settings)
    : driver_(driver), poison_(settings.poison) {
  shape_.fast_matmul = settings.fast_matmul;
  ready_ = open(index, image) == CUDA_SUCCESS;
  if (!ready_) close();
}

CudaDevice::~CudaDevice() { close(); }

CUresult CudaDevice::open(int index, const void* image) {
  TRY(init(0));
  TRY(device_get(&device_, index));
  char name[256] = "";
  TRY(device_name(name, sizeof name, device_));
  name_ = name;
  int major = 0, minor = 0;
  TRY(device_attribute(&shape_.multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device_));
  TRY(device_attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device_));
  TRY(device_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device_));
  shape_.capability = 10 * major + minor;
  TRY(context_retain(&context_, device_));
  retained_ = true;
  WITH_CONTEXT();
  TRY(module_load(&module_, image));
  TRY(stream_create(&stream_, CU_STREAM_NON_BLOCKING));
  for (CUevent& event : marks_) TRY(event_create(&event, 0));
  for (CUevent& event : staged_) TRY(event_create(&event, 0));
  for (void*& staging : staging_) TRY(host_alloc(&staging, kStagingBytes, 0));
  // A word each for faults, and one each for arrivals.
  constexpr size_t words = 2 * Fault::most_ops;
  TRY(mem_alloc(&faults_, 8 * words));
  TRY(fill(faults_, 0xff, 8 * words, stream_));
  TRY(stream_synchronize(stream_));
  return CUDA_SUCCESS;
}

// As far as things can still be given back; a lost device refuses all of it, and its context takes them along.
void CudaDevice::close() {
  if (!retained_) return;
  if (driver_.context_push(context_) == CUDA_SUCCESS) {
    if (stream_ != nullptr) driver_.stream_synchronize(stream_);
    if (faults_ != 0) driver_.mem_free(faults_);
    if (scratch_.pointer != 0) driver_.mem_free(scratch_.pointer);
    for (void* staging : staging_) {
      if (staging != nullptr) driver_.host_free(staging);
    }
    for (CUevent event : staged_) {
      if (event != nullptr) driver_.event_destroy(event);
    }
    for (CUevent event : marks_) {
      if (event != nullptr) driver_.event_destroy(event);
    }
    if (stream_ != nullptr) driver_.stream_destroy(stream_);
    if (module_ != nullptr) driver_.module_unload(module_);
    CUcontext ours = nullptr;
    driver_.context_pop(&ours);
  }
  driver_.context_release(device_);
  retained_ = ready_ = false;
}

CUresult CudaDevice::alloc(size_t bytes, CUdeviceptr* pointer) {
  WITH_CONTEXT();
  return note(driver_.mem_alloc(pointer, std::max<size_t>(bytes, 1)), "cuMemAlloc", static_cast<double>(bytes));
}
CUresult CudaDevice::free(CUdeviceptr pointer) {
  WITH_CONTEXT();
  TRY(mem_free(pointer));
  return CUDA_SUCCESS;
}
CUresult CudaDevice::memory(size_t* free, size_t* total) {
  WITH_CONTEXT();
  TRY(mem_info(free, total));
  return CUDA_SUCCESS;
}

CUresult CudaDevice::write(CUdeviceptr to, const void* data, size_t bytes) {
  WITH_CONTEXT();
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const size_t part = std::min(bytes, kStagingBytes);
    TRY(event_synchronize(staged_[turn_]));
    std::memcpy(staging_[turn_], from, part);
    TRY(copy_in(to, staging_[turn_], part, stream_));
    TRY(event_record(staged_[turn_], stream_));
    turn_ ^= 1;
    to += part;
    from += part;
    bytes -= part;
  }
  return CUDA_SUCCESS;
}
CUresult CudaDevice::fill(CUdeviceptr to, unsigned char value, size_t bytes) {
  if (bytes == 0) return CUDA_SUCCESS;
  WITH_CONTEXT();
  TRY(fill(to, value, bytes, stream_));
  return CUDA_SUCCESS;
}
CUresult CudaDevice::synchronize() {
  WITH_CONTEXT();
  TRY(stream_synchronize(stream_));
  return CUDA_SUCCESS;
}
CUresult CudaDevice::mark() {
  WITH_CONTEXT();
  TRY(event_record(marks_[0], stream_));
  return CUDA_SUCCESS;
}
CUresult CudaDevice::elapsed(float* milliseconds) {
  WITH_CONTEXT();
  TRY(event_record(marks_[1], stream_));
  TRY(event_synchronize(marks_[1]));
  TRY(event_elapsed(milliseconds, marks_[0], marks_[1]));
  return CUDA_SUCCESS;
}

CUresult CudaDevice::function_of(const KernelLaunch& launch, Function** found) {
  Function& function = functions_[launch.kernel];
  if (function.function == nullptr) TRY(module_function(&function.function, module_, launch.kernel));
  if (launch.shared_bytes > function.shared_limit) {
    TRY(function_set(function.function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, launch.shared_bytes));
    function.shared_limit = launch.shared_bytes;
  }
  *found = &function;
  return CUDA_SUCCESS;
}

CUresult CudaDevice::launch(const KernelLaunch& launch, void* args) {
  Function* function = nullptr;
  const CUresult failed = function_of(launch, &function);
  if (failed != CUDA_SUCCESS) return failed;
  CUlaunchAttribute attribute;
  const CUlaunchConfig config = config_of(launch, stream_, &attribute);
  void* params[] = {args};
  return note(driver_.launch(&config, function->function, params, nullptr), launch.kernel);
}

// Grows; what ran on the old piece is waited for by the driver when that is freed.
CUresult CudaDevice::scratch(size_t bytes, CUdeviceptr* pointer) {
  if (bytes > scratch_.bytes) {
    if (scratch_.pointer != 0) TRY(mem_free(scratch_.pointer));
    scratch_ = {0, 0};
    const CUresult failed = note(driver_.mem_alloc(&scratch_.pointer, bytes), "cuMemAlloc", static_cast<double>(bytes));
    if (failed != CUDA_SUCCESS) return failed;
    scratch_.bytes = bytes;
  }
  if (poison_ && bytes > 0) TRY(fill(scratch_.pointer, 0xff, scratch_.bytes, stream_));
  *pointer = scratch_.pointer;
  return CUDA_SUCCESS;
}

CUresult CudaDevice::run(size_t op, Element element, void* args) {
  const CudaOp& entry = cuda_ops().entries[op];
  LaunchPlan plan;
  entry.plan(args, element, shape_, plan);
  WITH_CONTEXT();
  CUdeviceptr workspace = 0;
  if (plan.workspace_bytes > 0) {
    const CUresult failed = scratch(plan.workspace_bytes, &workspace);
    if (failed != CUDA_SUCCESS) return failed;
  }
  set_tail(entry, args, workspace, faults_ + 8 * op);
  for (int i = 0; i < plan.count; ++i) {
    const CUresult failed = launch(plan.launches[i], args);
    if (failed != CUDA_SUCCESS) return failed;
  }
  return CUDA_SUCCESS;
}

CudaRead::CudaRead(CudaDevice& device, const std::vector<CudaSpan>& spans) : device_(device) {
  const CudaDriver& driver = device.driver_;
  for (const CudaSpan& span : spans) bytes_ += span.bytes;
  const CudaDevice::Current current(device);
  started_ = current.code();
  const auto step = [&](CUresult code, const char* call) {
    if (started_ == CUDA_SUCCESS) started_ = device.note(code, call);
    return started_ == CUDA_SUCCESS;
  };
  if (started_ != CUDA_SUCCESS) return;
  if (!step(driver.host_alloc(&data_, std::max<size_t>(bytes_, 1), 0), "cuMemHostAlloc")) return;
  if (!step(driver.event_create(&event_, 0), "cuEventCreate")) return;
  char* to = static_cast<char*>(data_);
  for (const CudaSpan& span : spans) {
    if (span.bytes > 0 && !step(driver.copy_out(to, span.pointer, span.bytes, device.stream_), "cuMemcpyDtoHAsync")) return;
    to += span.bytes;
  }
  step(driver.event_record(event_, device.stream_), "cuEventRecord");
}
CudaRead::~CudaRead() {
  const CudaDevice::Current current(device_);
  if (current.code() != CUDA_SUCCESS) return;
  // A copy that was begun may still be writing.
  if (started_ != CUDA_SUCCESS && data_ != nullptr) device_.driver_.stream_synchronize(device_.stream_);
  if (event_ != nullptr) device_.driver_.event_destroy(event_);
  if (data_ != nullptr) device_.driver_.host_free(data_);
}
CUresult CudaRead::wait() {
  const CudaDriver& driver = device_.driver_;
  // Another thread has a current context of its own; what goes wrong is noted later, on the device's thread.
  if (const CUresult code = driver.context_push(device_.context_)) return code;
  const CUresult code = driver.event_synchronize(event_);
  CUcontext ours = nullptr;
  driver.context_pop(&ours);
  return code;
}

CudaGraph::CudaGraph(CudaDevice& device, std::vector<Call> calls) : device_(device), calls_(std::move(calls)) {
  const CudaDevice::Current current(device);
  made_ = current.code() != CUDA_SUCCESS ? current.code() : capture();
}
CudaGraph::~CudaGraph() {
  const CudaDevice::Current current(device_);
  if (current.code() != CUDA_SUCCESS) return;
  const CudaDriver& driver = device_.driver_;
  if (exec_ != nullptr) driver.graph_exec_destroy(exec_);
  if (graph_ != nullptr) driver.graph_destroy(graph_);
  if (scratch_.pointer != 0) driver.mem_free(scratch_.pointer);
}

CUresult CudaGraph::capture() {
  const CudaDriver& driver_ = device_.driver_;
  const auto note = [this](CUresult code, const char* call) { return device_.note(code, call); };
  std::vector<LaunchPlan> plans(calls_.size());
  for (size_t i = 0; i < calls_.size(); ++i) {
    cuda_ops().entries[calls_[i].op].plan(calls_[i].args.data(), calls_[i].element, device_.shape_, plans[i]);
    scratch_.bytes = std::max<size_t>(scratch_.bytes, plans[i].workspace_bytes);
    // Nothing may be looked up or set while the stream records.
    for (int k = 0; k < plans[i].count; ++k) {
      CudaDevice::Function* function = nullptr;
      const CUresult failed = device_.function_of(plans[i].launches[k], &function);
      if (failed != CUDA_SUCCESS) return failed;
    }
  }
  if (scratch_.bytes > 0) TRY(mem_alloc(&scratch_.pointer, scratch_.bytes));
  TRY(capture_begin(device_.stream_, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  CUresult failed = CUDA_SUCCESS;
  for (size_t i = 0; i < calls_.size() && failed == CUDA_SUCCESS; ++i) {
    Call& call = calls_[i];
    set_tail(cuda_ops().entries[call.op], call.args.data(), scratch_.pointer, device_.faults_ + 8 * call.op);
    nodes_.emplace_back();
    for (int k = 0; k < plans[i].count && failed == CUDA_SUCCESS; ++k) {
      failed = device_.launch(plans[i].launches[k], call.args.data());
      if (failed != CUDA_SUCCESS) break;
      // On one stream the newest node is the only one that the next depends on.
      int status = 0;
      const CUgraphNode* last = nullptr;
      size_t count = 0;
      failed = note(driver_.capture_info(device_.stream_, &status, nullptr, nullptr, &last, &count), "cuStreamGetCaptureInfo");
      if (failed == CUDA_SUCCESS && count == 1) nodes_.back().push_back(last[0]);
    }
  }
  // Ends the recording in any case: a stream that still records takes no other work.
  const CUresult ended = driver_.capture_end(device_.stream_, &graph_);
  if (failed != CUDA_SUCCESS) return failed;
  if (ended != CUDA_SUCCESS) return note(ended, "cuStreamEndCapture");
  TRY(graph_instantiate(&exec_, graph_, 0));
  return CUDA_SUCCESS;
}

size_t CudaGraph::words() const {
  size_t count = 0;
  for (const Call& call : calls_) count += cuda_ops().entries[call.op].words;
  return count;
}

CUresult CudaGraph::update(Call& call, const std::vector<CUgraphNode>& nodes) {
  LaunchPlan plan;
  cuda_ops().entries[call.op].plan(call.args.data(), call.element, device_.shape_, plan);
  for (int k = 0; k < plan.count; ++k) {
    const KernelLaunch& launch = plan.launches[k];
    CudaDevice::Function* function = nullptr;
    const CUresult failed = device_.function_of(launch, &function);
    if (failed != CUDA_SUCCESS) return failed;
    void* params[] = {call.args.data()};
    CUkernelNodeParams node = {};
    node.func = function->function;
    node.gridDimX = static_cast<unsigned>(launch.blocks);
    node.blockDimX = static_cast<unsigned>(launch.threads);
    node.gridDimY = node.gridDimZ = node.blockDimY = node.blockDimZ = 1;
    node.sharedMemBytes = static_cast<unsigned>(launch.shared_bytes);
    node.kernelParams = params;
    const CUresult code = device_.note(device_.driver_.graph_set(exec_, nodes[k], &node), "cuGraphExecKernelNodeSetParams");
    if (code != CUDA_SUCCESS) return code;
  }
  return CUDA_SUCCESS;
}

CUresult CudaGraph::run(const uint64_t* words) {
  const CudaDevice::Current current(device_);
  if (current.code() != CUDA_SUCCESS) return current.code();
  for (size_t i = 0; i < calls_.size(); ++i) {
    const size_t count = cuda_ops().entries[calls_[i].op].words;
    if (std::memcmp(calls_[i].args.data(), words, 8 * count) != 0) {
      std::memcpy(calls_[i].args.data(), words, 8 * count);
      const CUresult failed = update(calls_[i], nodes_[i]);
      if (failed != CUDA_SUCCESS) {
        calls_[i].args[0] = ~calls_[i].args[0];  // so that the next run tries again
        return failed;
      }
    }
    words += count;
  }
  return device_.note(device_.driver_.graph_launch(exec_, device_.stream_), "cuGraphLaunch");
}

}  // namespace prefgrad
