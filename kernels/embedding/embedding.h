// Looks rows of a table up: y_i = table[ids_i]. Backward: grad_table_v = sum of grad_y_i over the i with ids_i = v, in order
// of position, in f64 and rounded once. An id outside the table is reported and gives NaN.
// Bytes: forward reads and writes 4 H B per position; backward reads 4 H B per position and writes 4 H B per row.
// Passes: forward has one item per position; backward sorts the positions by row (sort), then adds blocks of 128 rows
// (forward). See common/rows.h, which gatherRows shares.
#pragma once
#include "../common/args.h"

namespace prefgrad {

struct Embedding {
  uint64_t present;
  int64_t V, H, N;
  const float* table;
  const int32_t* ids;
  float* y;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(Embedding, table);

struct EmbeddingBackward {
  uint64_t present;
  int64_t N, H, V;
  int64_t vocabulary_size;
  int64_t accumulate;
  const float* grad_y;
  const int32_t* ids;
  float* grad_table;
  void* workspace;
  Fault* fault;
};
PREFGRAD_LAYOUT(EmbeddingBackward, grad_y);

}  // namespace prefgrad
