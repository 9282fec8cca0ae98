// See copy.h.
//   copy_elements  4 B read and 4 B written per element, the least there is
#include "../common/elements.cuda.h"
#include "copy.launch.h"

namespace prefgrad {

PREFGRAD_KERNEL(copy_elements, Copy, kElementThreads) {
  const float* const in[1] = {a.x};
  map_elements(in, a.y, a.N, [](const float(&x)[1]) { return x[0]; });
}

}  // namespace prefgrad
