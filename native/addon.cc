// The bridge between JavaScript and the kernels. It knows no op by name: TypeScript hands it one block that says which
// kernels to run over how many items and where each tensor lies, and the rest of the block is the kernels' argument struct.
// Everything was validated before; what is checked here again is what could crash the process.
#include <napi.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cmath>
#include <cstring>
#include <new>

#include "cpu_device.h"
#include "cuda_addon.h"

namespace {

using prefgrad::CpuDevice;
using prefgrad::Fault;
using prefgrad::KernelEntry;
using prefgrad::KernelList;

// The block, in 8-byte words. lib/backends/native.ts has the same numbers.
constexpr size_t kPassCount = 0, kWords = 1, kPointers = 2, kWorkspaceBytes = 3, kProblem = 4, kProblemIndex = 5;
constexpr size_t kPasses = 8, kMaxPasses = 8, kTable = 32, kMaxPointers = 21, kArgs = 96, kMaxWords = 64;

enum Status { kOk = 0, kFault = 1, kDetached = 2, kOutOfMemory = 3, kBadBlock = 4 };

napi_value status(napi_env env, Status code) {
  napi_value value;
  napi_create_int32(env, code, &value);
  return value;
}

// run(device, block, ...buffers) -> status
napi_value run(napi_env env, napi_callback_info info) {
  constexpr size_t kMaxBuffers = 24;
  napi_value arguments[2 + kMaxBuffers];
  size_t count = 2 + kMaxBuffers;
  if (napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr) != napi_ok || count < 2) return status(env, kBadBlock);
  if (count > 2 + kMaxBuffers) return status(env, kBadBlock);

  void* handle = nullptr;
  void* data = nullptr;
  size_t bytes = 0;
  if (napi_get_value_external(env, arguments[0], &handle) != napi_ok) return status(env, kBadBlock);
  if (napi_get_arraybuffer_info(env, arguments[1], &data, &bytes) != napi_ok) return status(env, kBadBlock);
  if (bytes < 8 * (kArgs + kMaxWords)) return status(env, kBadBlock);
  CpuDevice& device = *static_cast<CpuDevice*>(handle);
  double* block = static_cast<double*>(data);

  const size_t passes = static_cast<size_t>(block[kPassCount]);
  const size_t words = static_cast<size_t>(block[kWords]);
  const size_t pointers = static_cast<size_t>(block[kPointers]);
  if (passes > kMaxPasses || words > kMaxWords || pointers > kMaxPointers) return status(env, kBadBlock);

  struct Buffer {
    char* data;
    size_t bytes;
  } buffers[kMaxBuffers];
  for (size_t i = 2; i < count; ++i) {
    void* start = nullptr;
    size_t length = 0;
    if (napi_get_arraybuffer_info(env, arguments[i], &start, &length) != napi_ok) return status(env, kBadBlock);
    buffers[i - 2] = {static_cast<char*>(start), length};
  }

  uint64_t args[kMaxWords + kMaxPointers + 2];
  std::memcpy(args, block + kArgs, 8 * words);
  for (size_t p = 0; p < pointers; ++p) {
    const double* entry = block + kTable + 3 * p;
    void* pointer = nullptr;
    if (entry[0] >= 0) {
      const size_t ordinal = static_cast<size_t>(entry[0]);
      if (ordinal >= count - 2) return status(env, kBadBlock);
      const Buffer& buffer = buffers[ordinal];
      // A detached buffer has length 0, a resized one is shorter than it was: neither may be touched.
      if (!(entry[1] >= 0 && entry[2] >= 0 && entry[1] + entry[2] <= static_cast<double>(buffer.bytes))) {
        block[kProblem] = static_cast<double>(p);
        return status(env, kDetached);
      }
      // An empty tensor has no address of its own; kernels tell absent from empty by null.
      static char empty[8];
      pointer = buffer.data != nullptr ? buffer.data + static_cast<size_t>(entry[1]) : empty;
    }
    std::memcpy(args + words + p, &pointer, sizeof pointer);
  }

  Fault fault;
  Fault* fault_pointer = &fault;
  void* workspace = nullptr;
  if (block[kWorkspaceBytes] > 0) {
    workspace = device.scratch(static_cast<size_t>(block[kWorkspaceBytes]));
    if (workspace == nullptr) return status(env, kOutOfMemory);
  }
  std::memcpy(args + words + pointers, &workspace, sizeof workspace);
  std::memcpy(args + words + pointers + 1, &fault_pointer, sizeof fault_pointer);

  for (size_t i = 0; i < passes; ++i) {
    const double* pass = block + kPasses + 3 * i;
    const size_t index = static_cast<size_t>(pass[0]);
    if (index >= device.kernels().count) return status(env, kBadBlock);
    const KernelEntry& kernel = device.kernels().entries[index];
    if (kernel.words != words || kernel.pointers != pointers + 2) return status(env, kBadBlock);
    if (pass[1] > 0) device.run(kernel, args, static_cast<int64_t>(pass[1]), pass[2]);
  }

  const uint64_t first = fault.first.load();
  if (first == Fault::none) return status(env, kOk);
  block[kProblem] = static_cast<double>(first >> 48);
  block[kProblemIndex] = static_cast<double>(first & 0xffffffffffff);
  return status(env, kFault);
}

// info() -> { isas: string[] (best first), kernels: [{ op, pass, dtype, words, pointers }] }
Napi::Value info(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  KernelList lists[3];
  const size_t count = prefgrad::available_isas(lists);
  Napi::Array isas = Napi::Array::New(env);
  for (size_t i = 0; i < count; ++i) isas.Set(static_cast<uint32_t>(i), Napi::String::New(env, lists[i].isa));
  Napi::Array kernels = Napi::Array::New(env);
  for (size_t i = 0; i < lists[0].count; ++i) {
    const KernelEntry& entry = lists[0].entries[i];
    Napi::Object kernel = Napi::Object::New(env);
    kernel.Set("op", entry.op);
    kernel.Set("pass", entry.pass);
    kernel.Set("dtype", entry.dtype);
    kernel.Set("words", entry.words);
    kernel.Set("pointers", entry.pointers);
    kernels.Set(static_cast<uint32_t>(i), kernel);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("isas", isas);
  result.Set("kernels", kernels);
  return result;
}

// open(isa, threads, grain) -> { handle, threads }, or null when there is no memory or no such ISA.
Napi::Value open(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  if (call.Length() < 3 || !call[0].IsString() || !call[1].IsNumber() || !call[2].IsNumber()) return env.Null();
  const std::string isa = call[0].As<Napi::String>().Utf8Value();
  const int threads = call[1].As<Napi::Number>().Int32Value();
  const double grain = call[2].As<Napi::Number>().DoubleValue();
  KernelList lists[3];
  const size_t count = prefgrad::available_isas(lists);
  for (size_t i = 0; i < count; ++i) {
    if (isa != lists[i].isa) continue;
    CpuDevice* device = new (std::nothrow) CpuDevice(lists[i], threads, grain);
    if (device == nullptr) return env.Null();
    Napi::Object result = Napi::Object::New(env);
    // The finalizer also runs when the environment goes, so that no thread outlives the addon.
    result.Set("handle", Napi::External<CpuDevice>::New(env, device, [](Napi::Env, CpuDevice* gone) { delete gone; }));
    result.Set("threads", device->threads());
    return result;
  }
  return env.Null();
}

// hugePages(buffer): asks the system to give this memory in pages of megabytes where it is touched for the first time. With pages of
// 4 KiB that takes longer than most kernels that write to it. Where there is nothing to ask, or it refuses, all stays as it is.
void huge_pages(const Napi::CallbackInfo& call) {
#if defined(__linux__)
  if (call.Length() < 1 || !call[0].IsArrayBuffer()) return;
  Napi::ArrayBuffer buffer = call[0].As<Napi::ArrayBuffer>();
  constexpr uintptr_t kPage = 4096;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(buffer.Data()) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(buffer.Data()) + buffer.ByteLength()) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  static_cast<void>(call);
#endif
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("info", Napi::Function::New(env, info));
  exports.Set("open", Napi::Function::New(env, open));
  exports.Set("hugePages", Napi::Function::New(env, huge_pages));
  exports.Set("cuda", prefgrad::cuda_exports(env));
  napi_value run_function;
  if (napi_create_function(env, "run", NAPI_AUTO_LENGTH, run, nullptr, &run_function) == napi_ok) {
    exports.Set("run", Napi::Value(env, run_function));
  }
  return exports;
}

}  // namespace

NODE_API_MODULE(prefgrad, init)
