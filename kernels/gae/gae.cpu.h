// See gae.h.
#pragma once
#include "gae.h"
#include "gae_scan.cpu.h"

namespace prefgrad::PREFGRAD_ISA {

// Steps that are gathered at a time, counted from the first of the sequence.
constexpr int64_t kGaeBlock = 512;

// The steps of sequence b, and how far they have been gathered, from the last to the first.
struct GaeWalk {
  int64_t b, start, steps;  // start: the token of step 0
  int64_t at;               // the token behind the next step to be gathered
  float following;          // the value of the step gathered last
};

struct GaeBlock {
  alignas(64) float reward[kGaeBlock], value[kGaeBlock], following[kGaeBlock], continues[kGaeBlock];
  alignas(64) float advantage[kGaeBlock], returns[kGaeBlock];
  int64_t token[kGaeBlock];

  Steps steps() const { return {reward, value, following, continues}; }
};

// Gathers steps [first, first + n), pads them to a multiple of 16 with steps of nothing, and returns that size.
inline int64_t gather_steps(const Gae& a, GaeWalk& walk, int64_t first, int64_t n, GaeBlock& block) {
  const bool carries = a.mask_mode == 0;
  for (int64_t k = n - 1; k >= 0; --k) {
    --walk.at;
    if (a.valid != nullptr && carries) {
      while (a.valid[walk.at] == 0) --walk.at;
    }
    const int64_t i = walk.at;
    const bool counts = a.valid == nullptr || a.valid[i] != 0, last = first + k == walk.steps - 1;
    const bool terminated = counts && a.terminated != nullptr && a.terminated[i] != 0;
    const bool truncated = counts && a.truncated != nullptr && a.truncated[i] != 0;
    float following;
    if (terminated) {
      following = 0.0f;
    } else if (a.next_values != nullptr) {
      following = counts ? a.next_values[i] : 0.0f;
    } else if (last && a.bootstrap != nullptr) {
      following = a.bootstrap[walk.b];
    } else if (truncated) {
      following = std::numeric_limits<float>::quiet_NaN();
      a.fault->report(Gae::truncated_input, i);
    } else {
      following = last ? 0.0f : walk.following;
    }
    block.token[k] = counts ? i : -1;
    block.reward[k] = counts ? a.rewards[i] : 0.0f;
    block.value[k] = walk.following = counts ? a.values[i] : 0.0f;
    block.following[k] = following;
    block.continues[k] = terminated || truncated ? 0.0f : 1.0f;
  }
  int64_t padded = n;
  for (; padded % 16 != 0; ++padded) {
    block.reward[padded] = block.value[padded] = block.following[padded] = 0.0f;
    block.continues[padded] = 1.0f;
  }
  return padded;
}

// What the scan wrote for the steps goes to their tokens.
inline void scatter_steps(const GaeBlock& block, int64_t n, float* advantages, float* returns) {
  for (int64_t k = 0; k < n; ++k) {
    if (block.token[k] < 0) continue;
    if (advantages != nullptr) advantages[block.token[k]] = block.advantage[k];
    if (returns != nullptr) returns[block.token[k]] = block.returns[k];
  }
}

// One lambda over one sequence. Outputs that are not wanted are null; tokens that do not count are 0 already.
inline void gae_sequence(const Gae& a, GaeWalk walk, bool gapless, double lambda, float* advantages, float* returns) {
  GaeBlock block;
  const double decay = a.gamma * lambda;
  const bool cuts = a.terminated != nullptr || a.truncated != nullptr || decay == 0.0;
  // Steps that lie side by side, none of them an end, are scanned where they are: all whole groups but the last.
  const int64_t direct = gapless && !cuts ? (walk.steps - 1) / 16 * 16 : 0;
  double carry = 0.0;
  for (int64_t end = walk.steps; end > direct;) {
    int64_t first = (end - 1) / kGaeBlock * kGaeBlock;
    if (first < direct) first = direct;
    const int64_t n = gather_steps(a, walk, first, end - first, block);
    const auto whole = cuts ? scan_steps<true> : scan_steps<false>;
    whole(block.steps(), n, a.gamma, decay, carry, block.advantage, block.returns);
    scatter_steps(block, end - first, advantages, returns);
    end = first;
  }
  const int64_t start = walk.start;
  const float* following = a.next_values != nullptr ? a.next_values + start : a.values + start + 1;
  const Steps steps{a.rewards + start, a.values + start, following, nullptr};
  scan_steps<false>(steps, direct, a.gamma, decay, carry, advantages == nullptr ? nullptr : advantages + start,
                    returns == nullptr ? nullptr : returns + start);
}

inline void gae_forward(const Gae& a, int64_t begin, int64_t end, int) {
  if (!offsets_hold(a)) {
    if (begin == 0) fill_nan(a.advantages, a.N), fill_nan(a.returns, a.N);
    return;
  }
  if (end > a.B) end = a.B;
  for (int64_t b = begin; b < end; ++b) {
    const Span span = span_of(a, b);
    const int64_t behind = last_valid(a.valid, span) + 1, count = count_valid(a.valid, span);
    int64_t start = span.start;
    while (a.valid != nullptr && start < behind && a.valid[start] == 0) ++start;
    // A gapless run is written whole; around it, and in gaps, the outputs are 0.
    const bool gapless = count == behind - start;
    const auto clear = [&](int64_t i, int64_t stop) {
      for (; i < stop; ++i) a.advantages[i] = a.returns[i] = 0.0f;
    };
    clear(span.start, gapless ? start : span.start + span.length);
    if (gapless) clear(behind, span.start + span.length);
    if (count == 0) continue;
    const GaeWalk walk{b, start, a.mask_mode == 0 ? count : behind - start, behind, 0.0f};
    const double lambda = a.lambdas != nullptr ? static_cast<double>(a.lambdas[b]) : a.lambda;
    if (a.value_lambda != a.value_lambda) {
      gae_sequence(a, walk, gapless, lambda, a.advantages, a.returns);
    } else {
      gae_sequence(a, walk, gapless, lambda, a.advantages, nullptr);
      gae_sequence(a, walk, gapless, a.value_lambda, nullptr, a.returns);
    }
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
