// See scatter_rows.h.
#pragma once
#include <cstring>

#include "scatter_rows.h"

namespace prefgrad::PREFGRAD_ISA {

inline void scatter_rows(const ScatterRows& a, int64_t, int64_t, int) {
  for (int64_t i = 0; i < a.N; ++i) {
    const int64_t row = a.rows[i];
    if (row < 0 || row >= a.M) {
      a.fault->report(1, i);
      continue;
    }
    std::memcpy(a.into + row * a.H, a.x + i * a.H, static_cast<size_t>(a.H) * sizeof(float));
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
