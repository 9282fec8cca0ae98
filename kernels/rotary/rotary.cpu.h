// See rotary.h for the formula, the pass and the bytes.
#pragma once
#include "../common/rotation.h"
#include "rotary.h"

namespace prefgrad::PREFGRAD_ISA {

inline void rotary_forward(const Rotary& a, int64_t begin, int64_t end, int worker) {
  const Rotation rotation(a.Q / a.heads, a.base);
  float* const angles = a.workspace + worker * rotation.angle_floats();
  for (int64_t row = begin; row < end; ++row) {
    rotation.angles(a.positions[row], 1, angles);
    for (int64_t at = row * a.Q; at < (row + 1) * a.Q; at += rotation.size) {
      rotation.turn(a.x + at, angles, 1.0f, a.y + at);
    }
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
