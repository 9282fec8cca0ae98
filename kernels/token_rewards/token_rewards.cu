// See token_rewards.h.
//   token_rewards  a block per sequence; reads 8 B per token, valid (again, from cache, for the last token that counts) and tokenScore,
//                  and writes 8 B: the least there is
#include "../common/log_ratio.cuda.h"
#include "../common/sequences.cuda.h"
#include "token_rewards.launch.h"

namespace prefgrad {

// The slot of the sequence's score, -1 where there is none to give, or s.length where there is no place for it.
PREFGRAD_DEVICE int64_t reward_slot(const TokenRewards& a, const Span& s) {
  if (a.score == nullptr && a.missing_end_penalty == 0.0) return -1;
  int64_t last = -1;
  if (a.valid == nullptr) {
    last = s.length - 1;
  } else {
    for (int64_t t = threadIdx.x; t < s.length; t += kRewardThreads) {
      if (a.valid[s.start + t] != 0) last = t;
    }
    last = block_reduce<kRewardThreads>(last, int64_t{-1}, MaxOf{});
  }
  if (last < 0) return -1;
  const int64_t slot = a.score_at == 0 ? last : a.score_at == 1 ? last + 1 : s.length - 1;
  if (slot >= s.length && threadIdx.x == 0) a.fault->report(TokenRewards::valid_input, s.start + last);
  return slot;
}

PREFGRAD_DEVICE double reward_of_sequence(const TokenRewards& a, int64_t b) {
  double score = a.score != nullptr ? a.score[b] : 0.0;
  // An absent bound is NaN: nothing is above it.
  if (score > a.reward_clip) score = a.reward_clip;
  if (score < -a.reward_clip) score = -a.reward_clip;
  if (a.ended != nullptr && a.ended[b] == 0) score += a.missing_end_penalty;
  return score;
}

PREFGRAD_KERNEL(token_rewards, TokenRewards, kRewardThreads) {
  if (are_offsets_broken<kRewardThreads>(a)) {
    for (int64_t i = global_thread(); i < a.N; i += global_threads()) a.rewards[i] = a.kl[i] = nan_f32();
    return;
  }
  for (int64_t b = blockIdx.x; b < a.B; b += gridDim.x) {
    const Span s = span_of(a, b);
    const int64_t slot = reward_slot(a, s);
    for (int64_t first = threadIdx.x; first < s.length; first += kRewardRun * kRewardThreads) {
      // All loads before the first store: they need not wait for each other.
      float logprob[kRewardRun], ref[kRewardRun], score[kRewardRun];
      bool is_counted[kRewardRun];
      for (int k = 0; k < kRewardRun; ++k) {
        const int64_t t = first + k * kRewardThreads, i = s.start + (t < s.length ? t : first);
        logprob[k] = a.logprob[i];
        ref[k] = a.ref_logprob[i];
        score[k] = a.token_score != nullptr ? a.token_score[i] : 0.0f;
        is_counted[k] = counts(a.valid, i);
      }
      for (int k = 0; k < kRewardRun; ++k) {
        const int64_t t = first + k * kRewardThreads, i = s.start + t;
        if (t >= s.length) break;
        double kl = 0.0, reward = 0.0;
        if (is_counted[k]) {
          kl = estimate(a.kl_estimator, static_cast<double>(ref[k]) - static_cast<double>(logprob[k])).kl;
          reward = static_cast<double>(score[k]) - a.kl_coefficient * kl;
        }
        if (t == slot) reward += reward_of_sequence(a, b);
        a.kl[i] = static_cast<float>(kl);
        a.rewards[i] = slot >= s.length ? nan_f32() : static_cast<float>(reward);
      }
    }
  }
}

}  // namespace prefgrad
