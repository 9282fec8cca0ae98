// See token_rewards.h for the formula, the passes and the bytes.
#pragma once
#include "../common/log_ratio.h"
#include "../common/sequences.h"
#include "token_rewards.h"

namespace prefgrad::PREFGRAD_ISA {

template <int estimator>
PREFGRAD_INLINE void token_rewards_tokens(const TokenRewards& a, Span s) {
  const f64x8 coefficient = f64x8::set(a.kl_coefficient);
  each_block(a.valid, s.start, s.length, [&](const auto& t) PREFGRAD_BODY {
    if (!any(t.valid)) {
      t.clear(a.rewards, false);
      return t.clear(a.kl, false);
    }
    const f32x16 current = t.load(a.logprob), ref = t.load(a.ref_logprob), score = t.load_or(a.token_score, 0.0f);
    const f64x8 low = estimate<estimator>(low_f64(ref) - low_f64(current)).kl;
    const f64x8 high = estimate<estimator>(high_f64(ref) - high_f64(current)).kl;
    t.store(a.kl, low, high, false);
    t.store(a.rewards, low_f64(score) - coefficient * low, high_f64(score) - coefficient * high, false);
  });
}

// The reward of one token before its rounding, where the score of the sequence joins it.
template <int estimator>
PREFGRAD_INLINE double token_reward(const TokenRewards& a, int64_t i) {
  if (a.valid != nullptr && a.valid[i] == 0) return 0.0;
  const double x = static_cast<double>(a.ref_logprob[i]) - a.logprob[i];
  const double kl = scalar([](f64x8 v) { return estimate<estimator>(v).kl; }, x);
  return (a.token_score != nullptr ? a.token_score[i] : 0.0) - a.kl_coefficient * kl;
}

template <int estimator>
inline void token_rewards_sequence(const TokenRewards& a, int64_t b) {
  const Span s = span_of(a, b);
  token_rewards_tokens<estimator>(a, s);
  const int64_t last = last_valid(a.valid, s);
  if (last < 0 || (a.score == nullptr && a.missing_end_penalty == 0.0)) return;
  const int64_t end = s.start + s.length;
  const int64_t slot = a.score_at == 0 ? last : a.score_at == 1 ? last + 1 : end - 1;
  if (slot >= end) {
    a.fault->report(TokenRewards::valid_input, last);
    return fill_nan(a.rewards + s.start, s.length);
  }
  double score = a.score != nullptr ? a.score[b] : 0.0;
  // An absent bound is NaN: nothing is above it.
  if (score > a.reward_clip) score = a.reward_clip;
  if (score < -a.reward_clip) score = -a.reward_clip;
  if (a.ended != nullptr && a.ended[b] == 0) score += a.missing_end_penalty;
  a.rewards[slot] = static_cast<float>(token_reward<estimator>(a, slot) + score);
}

inline void token_rewards_forward(const TokenRewards& a, int64_t begin, int64_t end, int) {
  if (!offsets_hold(a)) {
    if (begin > 0) return;
    fill_nan(a.rewards, a.N);
    return fill_nan(a.kl, a.N);
  }
  for (int64_t b = begin; b < end && b < a.B; ++b) {
    switch (a.kl_estimator) {
      case kK1: token_rewards_sequence<kK1>(a, b); break;
      case kK2: token_rewards_sequence<kK2>(a, b); break;
      case kK3: token_rewards_sequence<kK3>(a, b); break;
      default: token_rewards_sequence<kAbs>(a, b);
    }
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
