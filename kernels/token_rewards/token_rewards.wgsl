// See token_rewards.h. `tokens` is elementwise, `scores` has a workgroup for each sequence and touches what it needs to find
// the last token that counts. 16 B per token, 17 with `valid`: the minimum, but for the end of each sequence's `valid`.
const VALID_INPUT = 4u;
const OFFSETS_INPUT = 5u;

// Codes of `scoreAt`.
const AT_LAST = 0u;
const AFTER_LAST = 1u;

fn difference_at(i: u32) -> Pair {
  return two_difference(in_refLogprob(i), in_logprob(i));
}

// The reward of a token that counts, before its rounding: where the score joins it, the two may cancel.
fn reward_of(i: u32, x: Pair, kl: Pair) -> Pair {
  let score = Pair(in_tokenScore(i), 0.0);
  if (args.klCoefficient == 0.0) {
    return score;
  }
  if (is_infinite(kl.high) && is_finite(x.high) && args.klEstimator == K3) {
    // e^x is beyond f32; its share of the reward need not be.
    return pair_subtract(score, Pair(times_power(args.klCoefficient, power_of(x)), 0.0));
  }
  return pair_subtract(score, pair_multiply(Pair(args.klCoefficient, args.klCoefficient_low), kl));
}

@compute @workgroup_size(LANES)
fn tokens(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_of(id) * LANES + lane;
  if (i >= args.N) {
    return;
  }
  if (offsets_broken()) {
    set_rewards(i, nan());
    set_kl(i, nan());
    return;
  }
  if (!is_valid(i)) {
    set_rewards(i, 0.0);
    set_kl(i, 0.0);
    return;
  }
  let x = difference_at(i);
  let kl = estimate(args.klEstimator, x).kl;
  set_kl(i, value_of(kl));
  set_rewards(i, value_of(reward_of(i, x, kl)));
}

// Clipped as it comes from the reward model: the penalty for a missing end is never clipped away.
fn score_of(b: u32) -> Pair {
  var score = Pair(in_score(b), 0.0);
  if (args.given_rewardClip == 1u) {
    let most = Pair(args.rewardClip, args.rewardClip_low);
    let least = Pair(-most.high, -most.low);
    if (pair_above(score, most)) {
      score = most;
    }
    if (pair_above(least, score)) {
      score = least;
    }
  }
  if (has_ended() && in_ended(b) == 0u) {
    score = pair_add(score, Pair(args.missingEndPenalty, args.missingEndPenalty_low));
  }
  return score;
}

@compute @workgroup_size(LANES)
fn scores(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let b = group_of(id);
  if (b >= args.B) {
    return;
  }
  let span = span_all(b, lane);
  let last = last_valid_all(span, lane);
  if (last == NO_TOKEN) {
    return;
  }
  let end = span.start + span.length;
  var slot = end - 1u;
  if (args.scoreAt == AT_LAST) {
    slot = last;
  } else if (args.scoreAt == AFTER_LAST) {
    slot = last + 1u;
  }
  if (slot == end) {
    for (var i = span.start + lane; i < end; i += LANES) {
      set_rewards(i, nan());
    }
    if (lane == 0u) {
      report(VALID_INPUT, last);
    }
    return;
  }
  if (lane == 0u) {
    var reward = score_of(b);
    if (is_valid(slot)) {
      let x = difference_at(slot);
      reward = pair_add(reward_of(slot, x, estimate(args.klEstimator, x).kl), reward);
    }
    set_rewards(slot, value_of(reward));
  }
}
