// What calling the kernels from TypeScript costs: the argument blocks of prepared calls, replayed by a loop in C++.
// `npm run bench -- --tax` hands over what native/addon.cc was given, and the device with it: the same kernels at the same
// addresses on the same threads and memory. What differs is the way there. Only the bench loads this addon.
#include <napi.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "cpu_device.h"

namespace {

using prefgrad::CpuDevice;
using prefgrad::Fault;
using prefgrad::KernelEntry;

// The block, in 8-byte words, as in native/addon.cc.
constexpr size_t kPassCount = 0, kWords = 1, kPointers = 2, kWorkspaceBytes = 3;
constexpr size_t kPasses = 8, kTable = 32, kArgs = 96;

struct Pass {
  const KernelEntry* kernel;
  int64_t items;
  double work;
};

// A call as a C++ program would hold it: its argument struct, and the kernels that take it.
struct NativeCall {
  std::vector<uint64_t> args;
  std::vector<Pass> passes;
};

// Pointers stay where they are for as long as the caller holds the buffers, which is until replay() returns.
NativeCall read_call(CpuDevice& device, const double* block, const Napi::Array& buffers, void* fault) {
  NativeCall call;
  const size_t words = static_cast<size_t>(block[kWords]), pointers = static_cast<size_t>(block[kPointers]);
  call.args.resize(words + pointers + 2);
  std::memcpy(call.args.data(), block + kArgs, 8 * words);
  auto set = [&](size_t p, const void* pointer) { std::memcpy(&call.args[words + p], &pointer, sizeof pointer); };
  for (size_t p = 0; p < pointers; ++p) {
    const double* entry = block + kTable + 3 * p;
    if (entry[0] < 0) continue;
    Napi::ArrayBuffer buffer = buffers.Get(static_cast<uint32_t>(entry[0])).As<Napi::ArrayBuffer>();
    set(p, static_cast<char*>(buffer.Data()) + static_cast<size_t>(entry[1]));
  }
  if (block[kWorkspaceBytes] > 0) set(pointers, device.scratch(static_cast<size_t>(block[kWorkspaceBytes])));
  set(pointers + 1, fault);
  for (size_t i = 0; i < static_cast<size_t>(block[kPassCount]); ++i) {
    const double* pass = block + kPasses + 3 * i;
    if (pass[1] <= 0) continue;
    const KernelEntry& kernel = device.kernels().entries[static_cast<size_t>(pass[0])];
    call.passes.push_back({&kernel, static_cast<int64_t>(pass[1]), pass[2]});
  }
  return call;
}

// replay(device, blocks: ArrayBuffer[], buffers: ArrayBuffer[][], steps) -> milliseconds in all; -1 when a kernel met a fault.
// Each step runs all calls in order, and looks after each whether a kernel met a fault, as native/addon.cc does.
Napi::Value replay(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  CpuDevice& device = *info[0].As<Napi::External<CpuDevice>>().Data();
  const Napi::Array blocks = info[1].As<Napi::Array>(), buffers = info[2].As<Napi::Array>();
  const int64_t steps = info[3].As<Napi::Number>().Int64Value();

  Fault fault;
  // Scratch grows to what the largest call asks for before any call is told where it lies.
  for (uint32_t i = 0; i < blocks.Length(); ++i) {
    const double bytes = static_cast<double*>(blocks.Get(i).As<Napi::ArrayBuffer>().Data())[kWorkspaceBytes];
    if (bytes > 0 && device.scratch(static_cast<size_t>(bytes)) == nullptr) return Napi::Number::New(env, -1);
  }
  std::vector<NativeCall> calls;
  for (uint32_t i = 0; i < blocks.Length(); ++i) {
    const double* block = static_cast<double*>(blocks.Get(i).As<Napi::ArrayBuffer>().Data());
    calls.push_back(read_call(device, block, buffers.Get(i).As<Napi::Array>(), &fault));
  }

  bool met = false;
  const auto begun = std::chrono::steady_clock::now();
  for (int64_t step = 0; step < steps; ++step) {
    for (const NativeCall& call : calls) {
      for (const Pass& pass : call.passes) device.run(*pass.kernel, call.args.data(), pass.items, pass.work);
      met = met || fault.first.load() != Fault::none;
    }
  }
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - begun;
  return Napi::Number::New(env, met ? -1 : elapsed.count());
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("replay", Napi::Function::New(env, replay));
  return exports;
}

}  // namespace

NODE_API_MODULE(tax, init)
