// See fill.h for the formula and the bytes.
#pragma once
#include "../common/elements.h"
#include "fill.h"

namespace prefgrad::PREFGRAD_ISA {

inline void fill_forward(const Fill& a, int64_t begin, int64_t end, int) {
  const Elements e(begin, end, a.N);
  const float value = static_cast<float>(a.value);
  for (int64_t i = e.first; i < e.last; ++i) a.x[i] = value;
}

}  // namespace prefgrad::PREFGRAD_ISA
