// See axpy.h.
//   axpy_elements  8 B read and 4 B written per element, the least there is
#include "../common/elements.cuda.h"
#include "axpy.launch.h"

namespace prefgrad {

PREFGRAD_KERNEL(axpy_elements, Axpy, kElementThreads) {
  const float* const in[2] = {a.x, a.y};
  const double alpha = a.alpha;
  map_elements(in, a.y, a.N, [alpha](const float(&x)[2]) {
    return static_cast<float>(fma(alpha, static_cast<double>(x[0]), static_cast<double>(x[1])));
  });
}

}  // namespace prefgrad
