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
  float following;          // the value of the step gathered last; at first what follows the last step of all
};

// Tokens that lie side by side, and the step that the first of them is.
struct Run {
  int64_t token, step, length;
};

struct GaeBlock {
  alignas(64) float reward[kGaeBlock], value[kGaeBlock], following[kGaeBlock];
  alignas(64) float advantage[kGaeBlock], returns[kGaeBlock];
  uint8_t terminated[kGaeBlock], truncated[kGaeBlock];
  Run runs[kGaeBlock];
  int64_t run_count;

  Steps steps() const { return {reward, value, following, terminated, truncated}; }

  // An absent input reads as 0, and so do the steps behind the last, up to a multiple of 16.
  template <typename Element>
  PREFGRAD_INLINE void gather(const Element* from, int64_t n, Element* to) const {
    for (int64_t r = 0; from != nullptr && r < run_count; ++r) {
      std::memcpy(to + runs[r].step, from + runs[r].token, sizeof(Element) * runs[r].length);
    }
    for (int64_t k = from == nullptr ? 0 : n; k < (n + 15) / 16 * 16; ++k) to[k] = Element{0};
  }
  PREFGRAD_INLINE void scatter(const float* from, float* to) const {
    for (int64_t r = 0; to != nullptr && r < run_count; ++r) {
      std::memcpy(to + runs[r].token, from + runs[r].step, sizeof(float) * runs[r].length);
    }
  }
};
template <typename Element>
PREFGRAD_INLINE void clear_unless(const uint8_t* valid, int64_t n, Element* x) {
  for (int64_t k = 0; k < n; ++k) x[k] = valid[k] != 0 ? x[k] : Element{0};
}

// Finds the tokens of the n steps before those that were found last.
inline void find_runs(const Gae& a, GaeWalk& walk, int64_t n, GaeBlock& block) {
  const uint8_t* valid = a.mask_mode == 0 ? a.valid : nullptr;
  int64_t i = walk.at, count = 0;
  while (n > 0) {
    while (valid != nullptr && valid[i - 1] == 0) --i;
    const int64_t least = i - n, stop = i;
    if (valid == nullptr) {
      i = least;
    } else {
      while (i > least && valid[i - 1] != 0) --i;
    }
    n -= stop - i;
    block.runs[count++] = {i, n, stop - i};
  }
  walk.at = i;
  block.run_count = count;
}

// Gathers n steps, of which the first is step `first`.
inline void gather_steps(const Gae& a, GaeWalk& walk, int64_t first, int64_t n, GaeBlock& block) {
  find_runs(a, walk, n, block);
  block.gather(a.rewards, n, block.reward);
  block.gather(a.values, n, block.value);
  block.gather(a.terminated, n, block.terminated);
  block.gather(a.truncated, n, block.truncated);
  block.gather(a.next_values, n, block.following);
  if (a.mask_mode != 0 && a.valid != nullptr) {
    const uint8_t* valid = a.valid + walk.at;
    clear_unless(valid, n, block.reward);
    clear_unless(valid, n, block.value);
    clear_unless(valid, n, block.terminated);
    clear_unless(valid, n, block.truncated);
    clear_unless(valid, n, block.following);
  }
  if (a.next_values == nullptr) {
    const bool last = first + n == walk.steps;
    for (int64_t k = 0; k + 1 < n; ++k) block.following[k] = block.value[k + 1];
    block.following[n - 1] = walk.following;
    const int64_t unknown = last && a.bootstrap != nullptr ? n - 1 : n;
    for (int64_t r = 0; a.truncated != nullptr && r < block.run_count; ++r) {
      for (int64_t k = block.runs[r].step; k < block.runs[r].step + block.runs[r].length && k < unknown; ++k) {
        if (!block.truncated[k] || block.terminated[k]) continue;
        a.fault->report(Gae::truncated_input, block.runs[r].token + k - block.runs[r].step);
        block.following[k] = std::numeric_limits<float>::quiet_NaN();
      }
    }
  }
  walk.following = block.value[0];
}

inline void scatter_steps(const Gae& a, const GaeWalk& walk, int64_t n, GaeBlock& block, float* advantages,
                          float* returns) {
  if (a.mask_mode != 0 && a.valid != nullptr) {
    clear_unless(a.valid + walk.at, n, block.advantage);
    clear_unless(a.valid + walk.at, n, block.returns);
  }
  block.scatter(block.advantage, advantages);
  block.scatter(block.returns, returns);
}

// Is there a truncated step whose next value is missing? The last has the bootstrap.
PREFGRAD_INLINE bool has_open_cut(const Gae& a, const GaeWalk& walk) {
  if (a.truncated == nullptr || a.next_values != nullptr) return false;
  const int64_t start = walk.start, steps = a.bootstrap != nullptr ? walk.steps - 1 : walk.steps;
  uint8_t open = 0;
  for (int64_t i = start; i < start + steps; ++i) {
    open = static_cast<uint8_t>(open | (a.truncated[i] != 0 && (a.terminated == nullptr || a.terminated[i] == 0)));
  }
  return open != 0;
}

// Steps that have gaps between them, or lack a next value, are gathered block by block before they are scanned.
inline __attribute__((noinline)) void gae_gathered(const Gae& a, GaeWalk walk, const GaeFactors& factors, float* advantages,
                                                   float* returns) {
  GaeBlock block;
  double carry = 0.0;
  for (int64_t end = walk.steps, first; end > 0; end = first) {
    first = (end - 1) / kGaeBlock * kGaeBlock;
    const int64_t n = end - first;
    gather_steps(a, walk, first, n, block);
    scan_steps(block.steps(), (n + 15) / 16 * 16, factors, carry, block.advantage, block.returns);
    scatter_steps(a, walk, n, block, advantages, returns);
  }
}
// One lambda over one sequence. Outputs that are not wanted are null; tokens that do not count are 0 already. Steps that lie side
// by side are scanned where they are, in groups of sixteen counted from the first.
PREFGRAD_INLINE void gae_sequence(const Gae& a, const GaeWalk& walk, bool gapless, const GaeFactors& factors, float* advantages,
                                  float* returns) {
  if (!gapless || has_open_cut(a, walk)) return gae_gathered(a, walk, factors, advantages, returns);
  const auto from = [&](auto* p, int64_t step) PREFGRAD_BODY { return p == nullptr ? p : p + walk.start + step; };
  const auto steps_from = [&](int64_t i, float behind) PREFGRAD_BODY -> Steps {
    return {from(a.rewards, i), from(a.values, i), from(a.next_values, i), from(a.terminated, i), from(a.truncated, i), behind};
  };
  const int64_t whole = walk.steps / 16 * 16;
  double carry = 0.0;
  float behind = walk.following;
  if (whole < walk.steps) {
    const Steps last = steps_from(whole, behind);
    behind = last.value[0];  // before an output in the same place is written
    scan_few(last, walk.steps - whole, factors, carry, from(advantages, whole), from(returns, whole));
  }
  scan_steps(steps_from(0, behind), whole, factors, carry, from(advantages, 0), from(returns, 0));
}

inline void gae_forward(const Gae& a, int64_t begin, int64_t end, int) {
  if (!offsets_hold(a)) {
    if (begin == 0) fill_nan(a.advantages, a.N), fill_nan(a.returns, a.N);
    return;
  }
  if (end > a.B) end = a.B;
  GaeFactors factors(a.gamma, a.lambda), value_factors(a.gamma, a.value_lambda);
  // The last sequence first: within one the steps go backwards too, and memory is read in one direction.
  for (int64_t b = end - 1; b >= begin; --b) {
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
    const GaeWalk walk{b, start, a.mask_mode == 0 ? count : behind - start, behind,
                       a.bootstrap != nullptr ? a.bootstrap[b] : 0.0f};
    if (a.lambdas != nullptr && a.lambdas[b] != factors.lambda) factors = GaeFactors(a.gamma, a.lambdas[b]);
    if (a.value_lambda != a.value_lambda) {
      gae_sequence(a, walk, gapless, factors, a.advantages, a.returns);
    } else {
      gae_sequence(a, walk, gapless, factors, a.advantages, nullptr);
      gae_sequence(a, walk, gapless, value_factors, nullptr, a.returns);
    }
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
