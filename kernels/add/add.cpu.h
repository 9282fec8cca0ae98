// See add.h for the formula and the bytes.
#pragma once
#include "../common/elements.h"
#include "add.h"

namespace prefgrad::PREFGRAD_ISA {

inline void add_forward(const Add& a, int64_t begin, int64_t end, int) {
  each_sixteen(Elements(begin, end, a.N), [&](int64_t i, int64_t n) PREFGRAD_BODY {
    store_sixteen(a.z + i, load_sixteen(a.x + i, n) + load_sixteen(a.y + i, n), n);
  });
}

}  // namespace prefgrad::PREFGRAD_ISA
