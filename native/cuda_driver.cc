#include "cuda_driver.h"

#include <cstdio>
#include <map>
#include <mutex>
#include <string>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace prefgrad {
namespace {

#if defined(_WIN32)
constexpr const char* kSystemDriver = "nvcuda.dll";
void* open_library(const char* path) { return reinterpret_cast<void*>(LoadLibraryA(path)); }
void* find_symbol(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}
std::string library_error() { return "error " + std::to_string(GetLastError()); }
#else
constexpr const char* kSystemDriver = "libcuda.so.1";
void* open_library(const char* path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }
void* find_symbol(void* library, const char* name) { return dlsym(library, name); }
std::string library_error() {
  const char* text = dlerror();
  return text == nullptr ? "" : text;
}
#endif

}  // namespace

const CudaDriver* load_cuda_driver(const char* path, char* why, size_t bytes) {
  static std::mutex mutex;
  static std::map<std::string, CudaDriver> loaded;
  const std::string name = path == nullptr || *path == '\0' ? kSystemDriver : path;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto known = loaded.find(name);
  if (known != loaded.end()) return &known->second;

  void* library = open_library(name.c_str());
  if (library == nullptr) {
    std::snprintf(why, bytes, "no NVIDIA driver (%s)", library_error().c_str());
    return nullptr;
  }
  CudaDriver driver;
  const char* missing = nullptr;
#define PREFGRAD_DRIVER_FIND(exported, name, params)                              \
  driver.name = reinterpret_cast<CUresult(*) params>(find_symbol(library, #exported)); \
  if (driver.name == nullptr && missing == nullptr) missing = #exported;
  PREFGRAD_DRIVER(PREFGRAD_DRIVER_FIND)
#undef PREFGRAD_DRIVER_FIND
  if (missing != nullptr) {
    std::snprintf(why, bytes, "the NVIDIA driver is too old: it lacks %s (CUDA 12 or later is needed)", missing);
    return nullptr;
  }
  return &(loaded[name] = driver);
}

}  // namespace prefgrad
