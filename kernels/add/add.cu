// See add.h.
//   add_elements  8 B read and 4 B written per element, the least there is
#include "../common/elements.cuda.h"
#include "add.launch.h"

namespace prefgrad {

PREFGRAD_KERNEL(add_elements, Add, kElementThreads) {
  const float* const in[2] = {a.x, a.y};
  map_elements(in, a.z, a.N, [](const float(&x)[2]) { return x[0] + x[1]; });
}

}  // namespace prefgrad
