// One opened CUDA device: its primary context, one stream, the kernels, scratch memory, pinned staging. Nothing here
// throws or ends the process: every call of the driver is checked, and what failed is kept for error().
#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda_driver.h"
#include "cuda_ops.h"

namespace prefgrad {

// What failed last: the driver's number (0: nothing), its words, and the call.
struct CudaError {
  CUresult code = CUDA_SUCCESS;
  std::string name, text, call;
  double wanted_bytes = 0;
};

// A piece of device memory.
struct CudaSpan {
  CUdeviceptr pointer;
  size_t bytes;
};

class CudaDevice {
 public:
  // `image` is the fatbin. On failure ok() is false and error() says why.
  struct Settings {
    bool poison = false;  // scratch is full of NaN before every call
    bool fast_matmul = false;
  };
  CudaDevice(const CudaDriver& driver, int index, const void* image, const Settings& settings);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  bool ok() const { return ready_; }
  const CudaError& error() const { return error_; }
  const std::string& name() const { return name_; }
  const DeviceShape& shape() const { return shape_; }
  CUstream stream() const { return stream_; }
  // One word for each op of cuda_ops(), in its order; all bits set: no fault.
  CudaSpan faults() const { return {faults_, 8 * cuda_ops().count}; }

  // All of the following return what the driver said; CUDA_SUCCESS is 0.
  CUresult alloc(size_t bytes, CUdeviceptr* pointer);
  CUresult free(CUdeviceptr pointer);
  CUresult memory(size_t* free, size_t* total);
  // Copies before it returns: `data` may change afterwards.
  CUresult write(CUdeviceptr to, const void* data, size_t bytes);
  CUresult fill(CUdeviceptr to, unsigned char value, size_t bytes);
  CUresult synchronize();
  // Milliseconds of device time since the last call of mark().
  CUresult mark();
  CUresult elapsed(float* milliseconds);

  // Runs an op: `args` is its argument struct, whose last two pointers are filled in here.
  CUresult run(size_t op, Element element, void* args);

  friend class CudaRead;
  friend class CudaGraph;

 private:
  struct Function {
    CUfunction function = nullptr;
    int shared_limit = 48 << 10;
  };
  class Current;

  CUresult open(int index, const void* image);
  CUresult note(CUresult code, const char* call, double wanted = 0);
  CUresult function_of(const KernelLaunch& launch, Function** found);
  CUresult launch(const KernelLaunch& launch, void* args);
  CUresult scratch(size_t bytes, CUdeviceptr* pointer);
  void close();

  const CudaDriver& driver_;
  const bool poison_;
  bool ready_ = false;
  bool retained_ = false;
  CudaError error_;
  std::string name_;
  DeviceShape shape_ = {0, 0, false};
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  CUmodule module_ = nullptr;
  CUstream stream_ = nullptr;
  CUevent marks_[2] = {nullptr, nullptr};
  CUdeviceptr faults_ = 0;
  CudaSpan scratch_ = {0, 0};
  // Two pinned buffers take turns, so that one is filled while the other is copied.
  void* staging_[2] = {nullptr, nullptr};
  CUevent staged_[2] = {nullptr, nullptr};
  int turn_ = 0;
  std::unordered_map<std::string, Function> functions_;
};

// Several places copied to pinned memory in the stream's order: enqueued when made, there after wait(), which may be called on
// another thread. The device must outlive it.
class CudaRead {
 public:
  CudaRead(CudaDevice& device, const std::vector<CudaSpan>& spans);
  ~CudaRead();
  CudaRead(const CudaRead&) = delete;
  CudaRead& operator=(const CudaRead&) = delete;

  CUresult started() const { return started_; }
  CUresult wait();
  // Keeps what wait() said for the device's error(); on the device's own thread.
  void note(CUresult code) { device_.note(code, "cuEventSynchronize"); }
  const void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  CudaDevice& device_;
  CUresult started_ = CUDA_SUCCESS;
  void* data_ = nullptr;
  size_t bytes_ = 0;
  CUevent event_ = nullptr;
};

// A sequence of ops captured once. Sizes and pointers are fixed; words that change (step, learning rate) are
// put into the kernels' parameters before a replay, which is one launch.
class CudaGraph {
 public:
  struct Call {
    size_t op;
    Element element;
    std::vector<uint64_t> args;
  };

  CudaGraph(CudaDevice& device, std::vector<Call> calls);
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  CUresult made() const { return made_; }
  // The words of every call, one after the other, without pointers.
  size_t words() const;
  CUresult run(const uint64_t* words);

 private:
  CUresult capture();
  CUresult update(Call& call, const std::vector<CUgraphNode>& nodes);

  CudaDevice& device_;
  std::vector<Call> calls_;
  std::vector<std::vector<CUgraphNode>> nodes_;
  CudaSpan scratch_ = {0, 0};
  CUgraph graph_ = nullptr;
  CUgraphExec exec_ = nullptr;
  CUresult made_ = CUDA_SUCCESS;
};

}  // namespace prefgrad
