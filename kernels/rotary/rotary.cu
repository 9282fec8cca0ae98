// See rotary.h for the formula, common/rotation.cuda.h for angles and threads.
//   rotary  reads x and writes y: 8 B per element, the least there is; an angle serves eight heads
#include "../common/rotation.cuda.h"
#include "rotary.launch.h"

namespace prefgrad {

PREFGRAD_KERNEL(rotary, Rotary, kRotationThreads) {
  const int half = static_cast<int>(a.Q / a.heads / 2);
  const RotationItem item = rotation_item(blockIdx.x, a.N, static_cast<int>(a.heads), half);
  if (item.row < 0) return;
  const Angle angle = rotation_angle(a.positions[item.row], item.pair, half, a.base);
  rotation_turn<false>(item, a.x + item.row * a.Q, a.y + item.row * a.Q, half, angle, 1.0f, false);
}

}  // namespace prefgrad
