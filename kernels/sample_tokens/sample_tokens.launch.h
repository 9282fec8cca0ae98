// See sample_tokens.h. A block for each row.
#pragma once
#include "../common/launch.h"
#include "sample_tokens.h"

namespace prefgrad {

constexpr int kSampleThreads = 1024, kSampleWarps = kSampleThreads / 32;

inline void plan(const SampleTokens& a, Element, const DeviceShape&, LaunchPlan& out) {
  out.add("sample_tokens", a.N, kSampleThreads);
}

}  // namespace prefgrad
