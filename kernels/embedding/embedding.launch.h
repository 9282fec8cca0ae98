// Embedding is gatherRows under other names: the same words in the same order, and so the same kernels.
#pragma once
#include "../gather_rows/gather_rows.launch.h"
#include "embedding.h"

namespace prefgrad {

static_assert(sizeof(Embedding) == sizeof(GatherRows) && offsetof(Embedding, N) == offsetof(GatherRows, N) &&
                  offsetof(Embedding, V) == offsetof(GatherRows, M) && offsetof(Embedding, H) == offsetof(GatherRows, H) &&
                  offsetof(Embedding, table) == offsetof(GatherRows, x) &&
                  offsetof(Embedding, ids) == offsetof(GatherRows, rows) && offsetof(Embedding, y) == offsetof(GatherRows, y),
              "embedding must be gatherRows");
static_assert(sizeof(EmbeddingBackward) == sizeof(GatherRowsBackward) &&
                  offsetof(EmbeddingBackward, N) == offsetof(GatherRowsBackward, N) &&
                  offsetof(EmbeddingBackward, H) == offsetof(GatherRowsBackward, H) &&
                  offsetof(EmbeddingBackward, V) == offsetof(GatherRowsBackward, M) &&
                  offsetof(EmbeddingBackward, accumulate) == offsetof(GatherRowsBackward, accumulate) &&
                  offsetof(EmbeddingBackward, grad_y) == offsetof(GatherRowsBackward, grad_y) &&
                  offsetof(EmbeddingBackward, ids) == offsetof(GatherRowsBackward, rows) &&
                  offsetof(EmbeddingBackward, grad_table) == offsetof(GatherRowsBackward, grad_x),
              "embeddingBackward must be gatherRowsBackward");

inline void plan(const Embedding& a, Element element, const DeviceShape& device, LaunchPlan& out) {
  GatherRows same;
  std::memcpy(&same, &a, sizeof same);
  plan(same, element, device, out);
}

inline void plan(const EmbeddingBackward& a, Element element, const DeviceShape& device, LaunchPlan& out) {
  GatherRowsBackward same;
  std::memcpy(&same, &a, sizeof same);
  plan(same, element, device, out);
}

}  // namespace prefgrad
