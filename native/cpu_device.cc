#include "cpu_device.h"

#include <algorithm>

namespace prefgrad {

size_t available_isas(KernelList (&lists)[3]) {
  size_t count = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#if defined(PREFGRAD_AVX512_IN_AVX2)  // a build for tests, see avx512_in_avx2.h
  const bool avx512 = avx2;
#else
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  if (avx512) lists[count++] = kernels_avx512();
  if (avx2) lists[count++] = kernels_avx2();
#endif
  lists[count++] = kernels_baseline();
  return count;
}

void* CpuDevice::scratch(size_t bytes) {
  if (bytes > scratch_bytes_) {
    std::free(scratch_);
    scratch_bytes_ = 0;
    const size_t rounded = (bytes + 4095) / 4096 * 4096;
    scratch_ = std::aligned_alloc(4096, rounded);
    if (scratch_ != nullptr) scratch_bytes_ = rounded;
  }
  return scratch_;
}

void CpuDevice::run(const KernelEntry& kernel, const void* args, int64_t items, double work) {
  // A few chunks per thread even out unequal items.
  const int64_t least = static_cast<int64_t>(std::max(1.0, grain_ / std::max(1.0, work)));
  const int64_t even = items / (int64_t{8} * threads());
  pool_.run(kernel.run, args, items, std::max(least, even));
}

}  // namespace prefgrad
