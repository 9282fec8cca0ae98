// See embedding.h for the formula, the passes and the bytes.
#pragma once
#include "../common/rows.h"
#include "embedding.h"

namespace prefgrad::PREFGRAD_ISA {

inline void embedding_forward(const Embedding& a, int64_t begin, int64_t end, int) {
  pick_rows(a.table, a.V, a.H, a.ids, a.y, begin, end, a.fault, 1);
}

inline void embedding_backward_sort(const EmbeddingBackward& a, int64_t, int64_t, int) {
  RowPositions(a.workspace, a.V).sort(a.ids, a.N, a.V, a.fault, 1);
}

inline void embedding_backward_add(const EmbeddingBackward& a, int64_t begin, int64_t end, int) {
  add_rows(RowPositions(a.workspace, a.V), a.grad_y, a.V, a.H, a.grad_table, a.accumulate != 0, begin, end);
}

}  // namespace prefgrad::PREFGRAD_ISA
