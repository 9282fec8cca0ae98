// See rms_norm.h. Forward: a block per row. Backward: a block per row for gradX, and for gradWeight a block per 32 columns and
// 64 rows, whose partial sums `finish` adds up in order.
#pragma once
#include "../common/launch.h"
#include "rms_norm.h"

namespace prefgrad {

constexpr int kRmsNormThreads = 256;
constexpr int64_t kRmsNormRows = 64, kRmsNormColumns = 32;

inline void plan(const RmsNorm& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("rms_norm", a.N, kRmsNormThreads);
}

inline void plan(const RmsNormBackward& a, Element, const DeviceShape&, LaunchPlan& out) {
  const int64_t parts = blocks_of(a.N, kRmsNormRows), columns = blocks_of(a.H, kRmsNormColumns);
  out.workspace_bytes = 8 * static_cast<uint64_t>(parts * a.H);
  // gradX last: it may lie where gradY does.
  out.add("rms_norm_weight_sums", parts * columns, kRmsNormThreads);
  out.add("rms_norm_weight_finish", blocks_of(a.H, kRmsNormThreads), kRmsNormThreads);
  out.add("rms_norm_grad_x", a.N, kRmsNormThreads);
}

}  // namespace prefgrad
