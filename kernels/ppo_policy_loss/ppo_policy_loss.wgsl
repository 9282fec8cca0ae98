// See ppo_policy_loss.h, and common/token_loss.wgsl for the passes. With sequence ratios two more before `terms`:
//   log_ratios  per chunk: the sum of x
//   pulls       direct gradient only, per chunk: what all tokens of the sequence are pulled by
// Both results are added up over the chunks of a sequence by whoever needs them. Bytes per token: 16, the least there
// is; with `valid` 18 for 17 (counted before any gradient can be written); sequence ratios read 8 more, and 4 more for
// the direct gradient, because no gradient is known before the whole sequence was read.

const OFFSETS_INPUT = 4u;
const STATS = 13u;

struct Sums {
  term: Pair,
  approx_kl: Pair,
  ratio: Pair,
  log_ratio: Pair,
  square: Pair,
  clipped_low: u32,
  clipped_high: u32,
  dual_clipped: u32,
  least: u32,
  most: u32,
}
fn no_sums() -> Sums {
  let none = Pair(0.0, 0.0);
  return Sums(none, none, none, none, none, 0u, 0u, 0u, MOST, LEAST);
}
fn merge_sums(a: Sums, b: Sums) -> Sums {
  var both: Sums;
  both.term = pair_add(a.term, b.term);
  both.approx_kl = pair_add(a.approx_kl, b.approx_kl);
  both.ratio = pair_add(a.ratio, b.ratio);
  both.log_ratio = pair_add(a.log_ratio, b.log_ratio);
  both.square = pair_add(a.square, b.square);
  both.clipped_low = a.clipped_low + b.clipped_low;
  both.clipped_high = a.clipped_high + b.clipped_high;
  both.dual_clipped = a.dual_clipped + b.dual_clipped;
  both.least = min(a.least, b.least);
  both.most = max(a.most, b.most);
  return both;
}
fn load_sums(at: u32) -> Sums {
  var sums: Sums;
  sums.term = load_pair(at);
  sums.approx_kl = load_pair(at + 2u);
  sums.ratio = load_pair(at + 4u);
  sums.log_ratio = load_pair(at + 6u);
  sums.square = load_pair(at + 8u);
  sums.clipped_low = work_u(at + 10u);
  sums.clipped_high = work_u(at + 11u);
  sums.dual_clipped = work_u(at + 12u);
  sums.least = work_u(at + 13u);
  sums.most = work_u(at + 14u);
  return sums;
}
fn store_sums(at: u32, sums: Sums) {
  store_pair(at, sums.term);
  store_pair(at + 2u, sums.approx_kl);
  store_pair(at + 4u, sums.ratio);
  store_pair(at + 6u, sums.log_ratio);
  store_pair(at + 8u, sums.square);
  set_work_u(at + 10u, sums.clipped_low);
  set_work_u(at + 11u, sums.clipped_high);
  set_work_u(at + 12u, sums.dual_clipped);
  set_work_u(at + 13u, sums.least);
  set_work_u(at + 14u, sums.most);
}
fn last_sums(sums: Sums) -> Sums {
  return sums;
}

fn by_sequence() -> bool {
  return args.ratioLevel == 1u;
}
fn is_direct() -> bool {
  return by_sequence() && args.sequenceGradient == 0u;
}

// The ratio of the sequence of this workgroup, and the gradient that its tokens share.
var<private> sequence_ratio: Power;
var<private> together: f32;

// Where the clips act.
const UNCLIPPED = 0u;
const LOW = 1u;
const HIGH = 2u;
const DUAL = 3u;

// A NaN is never clipped away.
fn clip_of(r: f32, advantage: f32) -> u32 {
  if (is_nan(r) || is_nan(advantage) || is_zero(advantage)) {
    return UNCLIPPED;
  }
  let size = select(r, 3.0e38, is_infinite(r));
  if (!is_negative(advantage)) {
    return select(UNCLIPPED, HIGH, size > 1.0 + args.clipHigh);
  }
  if (size < 1.0 - args.clipLow) {
    return LOW;
  }
  return select(UNCLIPPED, DUAL, args.given_dualClip == 1u && size > args.dualClip);
}

fn log_ratio_of(i: u32) -> Pair {
  return two_difference(in_logprob(i), in_oldLogprob(i));
}

// Words 2 and 3 of a chunk's record hold its sum of x, 4 and 5 that of its pulls.
const LOG_RATIOS = 2u;
const PULLS = 4u;

// The sum over all chunks of the sequence that this chunk belongs to.
fn sum_of_sequence(chunk: Chunk, slot: u32, word: u32, lane: u32) -> Pair {
  let first = slot - chunk.number;
  let chunks = chunks_of(span_of(chunk.sequence).length, TOKENS);
  var sum = Pair(0.0, 0.0);
  for (var k = lane; k < chunks; k += LANES) {
    sum = pair_add(sum, load_pair(slot_record(first + k) + word));
  }
  return sum_pair_all(sum, lane);
}
fn ratio_of_sequence(chunk: Chunk, slot: u32, lane: u32) -> Power {
  let sum = sum_of_sequence(chunk, slot, LOG_RATIOS, lane);
  return power_of(pair_divide(sum, pair_of_u(max(tokens_of(chunk.sequence), 1u))));
}

@compute @workgroup_size(LANES)
fn log_ratios(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group_of(id);
  let chunk = chunk_all(slot, TOKENS, lane);
  if (chunk.sequence == NO_SEQUENCE) {
    return;
  }
  var sum = Pair(0.0, 0.0);
  for (var k = lane; k < chunk.count; k += LANES) {
    if (is_valid(chunk.start + k)) {
      sum = sum_add_pair(sum, log_ratio_of(chunk.start + k));
    }
  }
  sum = sum_pair_all(sum, lane);
  if (lane == 0u) {
    store_pair(slot_record(slot) + LOG_RATIOS, sum);
  }
}

@compute @workgroup_size(LANES)
fn pulls(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group_of(id);
  let chunk = chunk_all(slot, TOKENS, lane);
  if (chunk.sequence == NO_SEQUENCE) {
    return;
  }
  let r = times_power(1.0, ratio_of_sequence(chunk, slot, lane));
  var sum = Pair(0.0, 0.0);
  for (var k = lane; k < chunk.count; k += LANES) {
    let i = chunk.start + k;
    if (is_valid(i)) {
      let advantage = in_advantage(i);
      if (clip_of(r, advantage) == UNCLIPPED) {
        sum = sum_add_pair(sum, two_product(weight_of(i), -advantage));
      }
    }
  }
  sum = sum_pair_all(sum, lane);
  if (lane == 0u) {
    store_pair(slot_record(slot) + PULLS, sum);
  }
}

fn first_sums(chunk: Chunk, slot: u32, lane: u32) -> Sums {
  var sums = no_sums();
  if (!by_sequence()) {
    return sums;
  }
  sequence_ratio = ratio_of_sequence(chunk, slot, lane);
  if (is_direct()) {
    let pull = sum_of_sequence(chunk, slot, PULLS, lane);
    let own = value_of(pair_divide(pull, pair_of_u(max(tokens_here, 1u))));
    together = times_power(coefficient * own, sequence_ratio);
  }
  // The sequence's ratio counts once.
  if (lane == 0u && chunk.number == 0u && tokens_here > 0u) {
    let r = times_power(1.0, sequence_ratio);
    sums.ratio = Pair(r, 0.0);
    sums.least = least_of(sums.least, r);
    sums.most = most_of(sums.most, r);
  }
  return sums;
}

fn fill_token(i: u32, x: f32) {
  set_gradLogprob(i, x);
}

fn add_token(i: u32, sums: ptr<function, Sums>) {
  let x = log_ratio_of(i);
  let advantage = in_advantage(i);
  let push = weight_of(i) * -advantage;
  var ratio = power_of(x);
  (*sums).approx_kl.high += exponential(x).rest;
  (*sums).log_ratio = sum_add_pair((*sums).log_ratio, x);
  (*sums).square.high = fma(x.high, x.high, (*sums).square.high);
  if (by_sequence()) {
    ratio = sequence_ratio;
  }
  let r = times_power(1.0, ratio);
  if (!by_sequence()) {
    (*sums).ratio.high += r;
    (*sums).least = least_of((*sums).least, r);
    (*sums).most = most_of((*sums).most, r);
  }
  var term: f32;
  var grad = 0.0;
  switch clip_of(r, advantage) {
    case LOW: {
      term = push * (1.0 - args.clipLow);
      (*sums).clipped_low += 1u;
    }
    case HIGH: {
      term = push * (1.0 + args.clipHigh);
      (*sums).clipped_high += 1u;
    }
    case DUAL: {
      term = push * args.dualClip;
      (*sums).dual_clipped += 1u;
    }
    default: {
      term = times_power(push, ratio);
      grad = times_power(coefficient * push, ratio);
    }
  }
  (*sums).term = sum_add((*sums).term, term);
  set_gradLogprob(i, select(grad, together, is_direct()));
}

fn write_stats(sums: Sums) {
  set_stats(3u, f32(select(all_tokens(), all_sequences(), by_sequence())));
  set_stats(4u, f32(sums.clipped_low));
  set_stats(5u, f32(sums.clipped_high));
  set_stats(6u, f32(sums.dual_clipped));
  set_stats(7u, value_of(sums.approx_kl));
  set_stats(8u, value_of(sums.ratio));
  set_stats(9u, from_order(sums.least));
  set_stats(10u, from_order(sums.most));
  set_stats(11u, value_of(sums.log_ratio));
  set_stats(12u, value_of(sums.square));
}
