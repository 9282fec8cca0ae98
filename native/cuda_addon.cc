// The bridge between JavaScript and a CUDA device. As in addon.cc everything was validated in TypeScript; what is checked here
// again is what could crash the process. Calls return the driver's number, 0 for success; error() has the words.
#include "cuda_addon.h"

#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "cuda_device.h"

namespace prefgrad {
namespace {

constexpr CUresult kBadCall = CUDA_ERROR_INVALID_VALUE;
constexpr size_t kMaxArguments = 12;

// Readbacks and graphs keep the device alive, whatever JavaScript lets go of first.
using Handle = std::shared_ptr<CudaDevice>;

struct Arguments {
  napi_value values[kMaxArguments];
  size_t count = kMaxArguments;

  Arguments(napi_env env, napi_callback_info info) {
    if (napi_get_cb_info(env, info, &count, values, nullptr, nullptr) != napi_ok) count = 0;
    if (count > kMaxArguments) count = kMaxArguments;
  }
};

napi_value number(napi_env env, double x) {
  napi_value value;
  napi_create_double(env, x, &value);
  return value;
}

bool read_number(napi_env env, napi_value value, double* x) { return napi_get_value_double(env, value, x) == napi_ok; }

// The bytes of an ArrayBuffer or of any view on one.
bool read_bytes(napi_env env, napi_value value, void** data, size_t* bytes) {
  if (napi_get_arraybuffer_info(env, value, data, bytes) == napi_ok) return true;
  napi_typedarray_type type;
  size_t length = 0;
  if (napi_get_typedarray_info(env, value, &type, &length, data, nullptr, nullptr) != napi_ok) return false;
  static constexpr size_t sizes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  *bytes = length * sizes[type];
  return true;
}

template <typename T>
T* external(napi_env env, napi_value value) {
  void* data = nullptr;
  return napi_get_value_external(env, value, &data) == napi_ok ? static_cast<T*>(data) : nullptr;
}
CudaDevice* device_of(napi_env env, const Arguments& in) {
  Handle* const handle = in.count > 0 ? external<Handle>(env, in.values[0]) : nullptr;
  return handle != nullptr ? handle->get() : nullptr;
}

// Pairs of pointer and bytes in a Float64Array: exact up to 2^53.
bool read_spans(napi_env env, napi_value value, std::vector<CudaSpan>* spans, size_t* total) {
  void* data = nullptr;
  size_t bytes = 0;
  if (!read_bytes(env, value, &data, &bytes)) return false;
  const double* const pairs = static_cast<const double*>(data);
  *total = 0;
  for (size_t i = 0; i + 1 < bytes / 8; i += 2) {
    spans->push_back({static_cast<CUdeviceptr>(pairs[i]), static_cast<size_t>(pairs[i + 1])});
    *total += spans->back().bytes;
  }
  return true;
}

// probe(library) -> { why } or { version, devices }: looks, and opens nothing.
Napi::Value probe(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  Napi::Object result = Napi::Object::New(env);
  const std::string path = call.Length() > 0 && call[0].IsString() ? call[0].As<Napi::String>().Utf8Value() : "";
  char why[512] = "";
  const CudaDriver* const driver = load_cuda_driver(path.c_str(), why, sizeof why);
  const auto refuse = [&](CUresult code, const char* what) {
    const char* text = "";
    driver->error_string(code, &text);
    result.Set("why", std::string(what) + ": " + (text == nullptr ? "" : text));
    return result;
  };
  if (driver == nullptr) {
    result.Set("why", std::string(why));
    return result;
  }
  int version = 0, count = 0;
  if (const CUresult code = driver->init(0)) return refuse(code, "the NVIDIA driver does not start");
  if (const CUresult code = driver->driver_version(&version)) return refuse(code, "the NVIDIA driver has no version");
  if (const CUresult code = driver->device_count(&count)) return refuse(code, "the NVIDIA driver cannot list devices");
  Napi::Array devices = Napi::Array::New(env);
  for (int i = 0; i < count; ++i) {
    CUdevice device = 0;
    char name[256] = "";
    if (driver->device_get(&device, i) == CUDA_SUCCESS) driver->device_name(name, sizeof name, device);
    devices.Set(static_cast<uint32_t>(i), Napi::String::New(env, name));
  }
  result.Set("version", version);
  result.Set("devices", devices);
  return result;
}

Napi::Object describe(Napi::Env env, const CudaError& error) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("code", error.code);
  result.Set("name", error.name);
  result.Set("text", error.text);
  result.Set("call", error.call);
  result.Set("wantedBytes", error.wanted_bytes);
  return result;
}

// open(library, index, fatbin, poison, fastMatmul) -> { handle, name, capability, multiprocessors, faults } or { error }
Napi::Value open(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  Napi::Object result = Napi::Object::New(env);
  void* image = nullptr;
  size_t bytes = 0;
  if (call.Length() < 5 || !call[0].IsString() || !call[1].IsNumber() || !read_bytes(env, call[2], &image, &bytes)) return env.Null();
  char why[512] = "";
  const CudaDriver* const driver = load_cuda_driver(call[0].As<Napi::String>().Utf8Value().c_str(), why, sizeof why);
  if (driver == nullptr) return env.Null();
  const CudaDevice::Settings settings = {call[3].ToBoolean(), call[4].ToBoolean()};
  Handle* const handle = new (std::nothrow) Handle(
      new (std::nothrow) CudaDevice(*driver, call[1].As<Napi::Number>().Int32Value(), image, settings));
  if (handle == nullptr || *handle == nullptr) {
    delete handle;
    return env.Null();
  }
  CudaDevice& device = **handle;
  if (!device.ok()) {
    result.Set("error", describe(env, device.error()));
    delete handle;
    return result;
  }
  result.Set("name", device.name());
  result.Set("capability", device.shape().capability);
  result.Set("multiprocessors", device.shape().multiprocessors);
  result.Set("faults", static_cast<double>(device.faults().pointer));
  // The finalizer also runs when the environment goes.
  result.Set("handle", Napi::External<Handle>::New(env, handle, [](Napi::Env, Handle* gone) { delete gone; }));
  return result;
}

// close(handle): gives everything back now; what still uses the device keeps it until it ends.
napi_value close(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  Handle* const handle = in.count > 0 ? external<Handle>(env, in.values[0]) : nullptr;
  if (handle != nullptr) handle->reset();
  return nullptr;
}

// error(handle) -> { code, name, text, call, wantedBytes, freeBytes, totalBytes }
Napi::Value error(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  Handle* const handle = call.Length() > 0 && call[0].IsExternal() ? call[0].As<Napi::External<Handle>>().Data() : nullptr;
  if (handle == nullptr || *handle == nullptr) return env.Null();
  const CudaError kept = (*handle)->error();
  Napi::Object result = describe(env, kept);
  size_t free = 0, total = 0;
  if (kept.code == CUDA_ERROR_OUT_OF_MEMORY && (*handle)->memory(&free, &total) == CUDA_SUCCESS) {
    result.Set("freeBytes", static_cast<double>(free));
    result.Set("totalBytes", static_cast<double>(total));
  }
  return result;
}

// alloc(handle, bytes) -> pointer, or minus the driver's number
napi_value alloc(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  CudaDevice* const device = device_of(env, in);
  double bytes = 0;
  if (device == nullptr || in.count < 2 || !read_number(env, in.values[1], &bytes)) return number(env, -kBadCall);
  CUdeviceptr pointer = 0;
  const CUresult code = device->alloc(static_cast<size_t>(bytes), &pointer);
  return number(env, code == CUDA_SUCCESS ? static_cast<double>(pointer) : -code);
}

// free(handle, pointer)
napi_value release(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  CudaDevice* const device = device_of(env, in);
  double pointer = 0;
  if (device == nullptr || in.count < 2 || !read_number(env, in.values[1], &pointer)) return number(env, kBadCall);
  return number(env, device->free(static_cast<CUdeviceptr>(pointer)));
}

// memory(handle) -> [free bytes, all bytes], or undefined
Napi::Value memory(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  Handle* const handle = call.Length() > 0 && call[0].IsExternal() ? call[0].As<Napi::External<Handle>>().Data() : nullptr;
  size_t free = 0, total = 0;
  if (handle == nullptr || *handle == nullptr || (*handle)->memory(&free, &total) != CUDA_SUCCESS) return env.Undefined();
  Napi::Array result = Napi::Array::New(env, 2);
  result.Set(uint32_t{0}, static_cast<double>(free));
  result.Set(uint32_t{1}, static_cast<double>(total));
  return result;
}

// write(handle, pointer, bytes): copied when it returns
napi_value write(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  CudaDevice* const device = device_of(env, in);
  double pointer = 0;
  void* data = nullptr;
  size_t bytes = 0;
  if (device == nullptr || in.count < 3 || !read_number(env, in.values[1], &pointer)) return number(env, kBadCall);
  if (!read_bytes(env, in.values[2], &data, &bytes)) return number(env, kBadCall);
  return number(env, device->write(static_cast<CUdeviceptr>(pointer), data, bytes));
}

// fill(handle, pointer, byte, bytes)
napi_value fill(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  CudaDevice* const device = device_of(env, in);
  double pointer = 0, byte = 0, bytes = 0;
  if (device == nullptr || in.count < 4 || !read_number(env, in.values[1], &pointer)) return number(env, kBadCall);
  if (!read_number(env, in.values[2], &byte) || !read_number(env, in.values[3], &bytes)) return number(env, kBadCall);
  return number(env, device->fill(static_cast<CUdeviceptr>(pointer), static_cast<unsigned char>(byte), static_cast<size_t>(bytes)));
}

// synchronize(handle)
napi_value synchronize(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  CudaDevice* const device = device_of(env, in);
  return number(env, device == nullptr ? kBadCall : device->synchronize());
}

// mark(handle); elapsed(handle) -> milliseconds of device time since, or minus the driver's number
napi_value mark(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  CudaDevice* const device = device_of(env, in);
  return number(env, device == nullptr ? kBadCall : device->mark());
}
napi_value elapsed(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  CudaDevice* const device = device_of(env, in);
  float milliseconds = 0;
  const CUresult code = device == nullptr ? kBadCall : device->elapsed(&milliseconds);
  return number(env, code == CUDA_SUCCESS ? milliseconds : -code);
}

// stream(handle) -> the CUstream as a bigint
napi_value stream(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  CudaDevice* const device = device_of(env, in);
  napi_value value = nullptr;
  napi_create_bigint_uint64(env, device == nullptr ? 0 : reinterpret_cast<uint64_t>(device->stream()), &value);
  return value;
}

// readSync(handle, spans, target): waits
napi_value read_sync(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  CudaDevice* const device = device_of(env, in);
  std::vector<CudaSpan> spans;
  size_t total = 0, bytes = 0;
  void* target = nullptr;
  if (device == nullptr || in.count < 3 || !read_spans(env, in.values[1], &spans, &total)) return number(env, kBadCall);
  if (!read_bytes(env, in.values[2], &target, &bytes) || bytes < total) return number(env, kBadCall);
  CudaRead read(*device, spans);
  CUresult code = read.started();
  if (code == CUDA_SUCCESS) {
    code = read.wait();
    read.note(code);
  }
  if (code == CUDA_SUCCESS) std::memcpy(target, read.data(), total);
  return number(env, code);
}

// A readback that another thread waits for.
struct PendingRead {
  Handle device;
  std::unique_ptr<CudaRead> read;
  CUresult code = CUDA_SUCCESS;
  napi_ref target = nullptr;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

void wait_for_read(napi_env, void* data) {
  PendingRead& pending = *static_cast<PendingRead*>(data);
  pending.code = pending.read->wait();
}

void finish_read(napi_env env, napi_status, void* data) {
  const std::unique_ptr<PendingRead> pending(static_cast<PendingRead*>(data));
  napi_value target = nullptr;
  void* to = nullptr;
  size_t bytes = 0;
  pending->read->note(pending->code);
  if (pending->code == CUDA_SUCCESS && napi_get_reference_value(env, pending->target, &target) == napi_ok &&
      napi_get_arraybuffer_info(env, target, &to, &bytes) == napi_ok && bytes >= pending->read->bytes()) {
    std::memcpy(to, pending->read->data(), pending->read->bytes());
  }
  pending->read.reset();
  napi_delete_reference(env, pending->target);
  napi_resolve_deferred(env, pending->deferred, number(env, pending->code));
  napi_delete_async_work(env, pending->work);
}

// read(handle, spans, target: ArrayBuffer) -> promise of the driver's number; enqueued when it returns
napi_value read(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  Handle* const handle = in.count > 0 ? external<Handle>(env, in.values[0]) : nullptr;
  napi_value promise = nullptr;
  std::unique_ptr<PendingRead> pending(new PendingRead);
  if (napi_create_promise(env, &pending->deferred, &promise) != napi_ok) return nullptr;
  std::vector<CudaSpan> spans;
  size_t total = 0, bytes = 0;
  void* target = nullptr;
  const bool good = handle != nullptr && *handle != nullptr && in.count > 2 && read_spans(env, in.values[1], &spans, &total) &&
                    napi_get_arraybuffer_info(env, in.values[2], &target, &bytes) == napi_ok && bytes >= total;
  CUresult code = kBadCall;
  if (good) {
    pending->device = *handle;
    pending->read = std::make_unique<CudaRead>(**handle, spans);
    code = pending->read->started();
  }
  napi_value name = nullptr;
  if (code != CUDA_SUCCESS) {
    napi_resolve_deferred(env, pending->deferred, number(env, code));
    return promise;
  }
  napi_create_reference(env, in.values[2], 1, &pending->target);
  napi_create_string_utf8(env, "prefgrad.read", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, nullptr, name, wait_for_read, finish_read, pending.get(), &pending->work);
  napi_queue_async_work(env, pending->work);
  pending.release();
  return promise;
}

bool read_call(const void* block, size_t bytes, double op, double element, CudaGraph::Call* call) {
  if (!(op >= 0 && op < static_cast<double>(cuda_ops().count) && element >= 0 && element <= 2)) return false;
  call->op = static_cast<size_t>(op);
  call->element = static_cast<Element>(static_cast<int>(element));
  const CudaOp& entry = cuda_ops().entries[call->op];
  if (bytes != 8 * (size_t{entry.words} + entry.pointers)) return false;
  call->args.resize(entry.words + entry.pointers);
  std::memcpy(call->args.data(), block, bytes);
  return true;
}

// run(handle, op, element, block): the block is the argument struct, whose last two words are filled in here
napi_value run(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  CudaDevice* const device = device_of(env, in);
  double op = 0, element = 0;
  void* block = nullptr;
  size_t bytes = 0;
  if (device == nullptr || in.count < 4 || !read_number(env, in.values[1], &op) || !read_number(env, in.values[2], &element) ||
      !read_bytes(env, in.values[3], &block, &bytes)) {
    return number(env, kBadCall);
  }
  if (!(op >= 0 && op < static_cast<double>(cuda_ops().count) && element >= 0 && element <= 2)) return number(env, kBadCall);
  const CudaOp& entry = cuda_ops().entries[static_cast<size_t>(op)];
  if (bytes != 8 * (size_t{entry.words} + entry.pointers)) return number(env, kBadCall);
  return number(env, device->run(static_cast<size_t>(op), static_cast<Element>(static_cast<int>(element)), block));
}

struct GraphHandle {
  Handle device;
  std::unique_ptr<CudaGraph> graph;
};

// capture(handle, ops, elements, blocks) -> graph, or the driver's number
Napi::Value capture(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  const auto refuse = [&](CUresult code) { return Napi::Number::New(env, code); };
  if (call.Length() < 4 || !call[0].IsExternal() || !call[1].IsArray() || !call[2].IsArray() || !call[3].IsArray()) {
    return refuse(kBadCall);
  }
  Handle* const handle = call[0].As<Napi::External<Handle>>().Data();
  if (*handle == nullptr) return refuse(kBadCall);
  const Napi::Array ops = call[1].As<Napi::Array>(), elements = call[2].As<Napi::Array>(), blocks = call[3].As<Napi::Array>();
  std::vector<CudaGraph::Call> calls(blocks.Length());
  for (uint32_t i = 0; i < blocks.Length(); ++i) {
    void* block = nullptr;
    size_t bytes = 0;
    if (!read_bytes(env, blocks.Get(i), &block, &bytes)) return refuse(kBadCall);
    const double op = ops.Get(i).ToNumber(), element = elements.Get(i).ToNumber();
    if (!read_call(block, bytes, op, element, &calls[i])) return refuse(kBadCall);
  }
  GraphHandle* const made = new GraphHandle{*handle, std::make_unique<CudaGraph>(**handle, std::move(calls))};
  const CUresult code = made->graph->made();
  if (code != CUDA_SUCCESS) {
    delete made;
    return refuse(code);
  }
  return Napi::External<GraphHandle>::New(env, made, [](Napi::Env, GraphHandle* gone) { delete gone; });
}

// replay(graph, words): the words of every call, one after the other
napi_value replay(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  GraphHandle* const handle = in.count > 1 ? external<GraphHandle>(env, in.values[0]) : nullptr;
  void* words = nullptr;
  size_t bytes = 0;
  if (handle == nullptr || handle->graph == nullptr || !read_bytes(env, in.values[1], &words, &bytes)) return number(env, kBadCall);
  if (bytes != 8 * handle->graph->words()) return number(env, kBadCall);
  return number(env, handle->graph->run(static_cast<const uint64_t*>(words)));
}

// discard(graph)
napi_value discard(napi_env env, napi_callback_info info) {
  const Arguments in(env, info);
  GraphHandle* const handle = in.count > 0 ? external<GraphHandle>(env, in.values[0]) : nullptr;
  if (handle != nullptr) {
    handle->graph.reset();
    handle->device.reset();
  }
  return nullptr;
}

// ops: [{ op, words, pointers }], in the order that run() counts in
Napi::Array list_ops(Napi::Env env) {
  Napi::Array list = Napi::Array::New(env);
  for (size_t i = 0; i < cuda_ops().count; ++i) {
    const CudaOp& entry = cuda_ops().entries[i];
    Napi::Object op = Napi::Object::New(env);
    op.Set("op", entry.op);
    op.Set("words", entry.words);
    op.Set("pointers", entry.pointers);
    list.Set(static_cast<uint32_t>(i), op);
  }
  return list;
}

}  // namespace

Napi::Object cuda_exports(Napi::Env env) {
  Napi::Object exports = Napi::Object::New(env);
  exports.Set("ops", list_ops(env));
  exports.Set("probe", Napi::Function::New(env, probe));
  exports.Set("open", Napi::Function::New(env, open));
  exports.Set("error", Napi::Function::New(env, error));
  exports.Set("memory", Napi::Function::New(env, memory));
  exports.Set("capture", Napi::Function::New(env, capture));
  const struct {
    const char* name;
    napi_callback callback;
  } plain[] = {{"close", close}, {"alloc", alloc}, {"free", release}, {"write", write}, {"fill", fill},
               {"synchronize", synchronize}, {"mark", mark}, {"elapsed", elapsed}, {"stream", stream},
               {"readSync", read_sync}, {"read", read}, {"run", run}, {"replay", replay}, {"discard", discard}};
  for (const auto& [name, callback] : plain) {
    napi_value function = nullptr;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) == napi_ok) {
      exports.Set(name, Napi::Value(env, function));
    }
  }
  return exports;
}

}  // namespace prefgrad
