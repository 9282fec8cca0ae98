// See fill.h.
//   fill_elements  4 B written per element, the least there is
#include "../common/elements.cuda.h"
#include "fill.launch.h"

namespace prefgrad {

PREFGRAD_KERNEL(fill_elements, Fill, kElementThreads) {
  constexpr int size = kElementThreads * kElementRun;
  const float value = static_cast<float>(a.value);
  const int64_t first = int64_t{blockIdx.x} * size, last = first + size < a.N ? first + size : a.N;
  if (last == first + size && is_aligned(a.x)) {
    const Float4 four = {{value, value, value, value}};
    for (int i = 4 * static_cast<int>(threadIdx.x); i < size; i += 4 * kElementThreads) {
      *reinterpret_cast<Float4*>(a.x + first + i) = four;
    }
    return;
  }
  for (int64_t i = first + threadIdx.x; i < last; i += kElementThreads) a.x[i] = value;
}

}  // namespace prefgrad
