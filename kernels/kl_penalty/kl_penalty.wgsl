// See kl_penalty.h, and common/token_loss.wgsl for the passes. Bytes per token: 16, the least there is; with `valid` 18
// for 17, as the tokens are counted before any gradient can be written.

const OFFSETS_INPUT = 3u;
const STATS = 6u;

struct Sums {
  term: Pair,
  kl: Pair,
  least: u32,
  most: u32,
}
fn no_sums() -> Sums {
  return Sums(Pair(0.0, 0.0), Pair(0.0, 0.0), MOST, LEAST);
}
fn merge_sums(a: Sums, b: Sums) -> Sums {
  return Sums(pair_add(a.term, b.term), pair_add(a.kl, b.kl), min(a.least, b.least), max(a.most, b.most));
}
fn load_sums(at: u32) -> Sums {
  return Sums(load_pair(at), load_pair(at + 2u), work_u(at + 4u), work_u(at + 5u));
}
fn store_sums(at: u32, sums: Sums) {
  store_pair(at, sums.term);
  store_pair(at + 2u, sums.kl);
  set_work_u(at + 4u, sums.least);
  set_work_u(at + 5u, sums.most);
}
fn first_sums(chunk: Chunk, slot: u32, lane: u32) -> Sums {
  return no_sums();
}
fn last_sums(sums: Sums) -> Sums {
  return sums;
}

fn fill_token(i: u32, x: f32) {
  set_gradLogprob(i, x);
  set_kl(i, x);
}

fn clamped(x: Pair, bound: Pair) -> Pair {
  if (!pair_above(pair_size(x), bound)) {
    return x;
  }
  if (is_negative(x.high)) {
    return Pair(-bound.high, -bound.low);
  }
  return bound;
}

fn add_token(i: u32, sums: ptr<function, Sums>) {
  let weight = weight_of(i);
  let given = two_difference(in_refLogprob(i), in_logprob(i));
  var x = given;
  var bites = false;
  if (args.given_clampInput == 1u) {
    let inner = Pair(args.clampInput, args.clampInput_low);
    x = clamped(given, inner);
    bites = pair_above(pair_size(given), inner);
  }
  let e = estimate(args.estimator, x);
  var kl = e.kl;
  if (args.given_clampOutput == 1u) {
    let outer = Pair(args.clampOutput, args.clampOutput_low);
    kl = clamped(e.kl, outer);
    bites = bites || pair_above(pair_size(e.kl), outer);
  }
  var slope = e.slope;
  if (args.gradient == 0u) {
    slope = select(value_of(pair_add(e.kl, Pair(e.slope, 0.0))), -value_of(x), args.estimator <= K3);
  }
  slope = select(slope, 0.0, bites);
  set_gradLogprob(i, scaled(coefficient * weight, slope));
  let value = value_of(kl);
  set_kl(i, value);
  var term = kl;
  if (has_weight()) {
    term = Pair(0.0, 0.0);
    if (!is_zero(weight) || is_nan(value)) {
      term = pair_multiply(Pair(weight, 0.0), kl);
    }
  }
  (*sums).term = sum_add_pair((*sums).term, term);
  (*sums).kl = sum_add_pair((*sums).kl, kl);
  (*sums).least = least_of((*sums).least, value);
  (*sums).most = most_of((*sums).most, value);
}

fn write_stats(sums: Sums) {
  set_stats(3u, value_of(sums.kl));
  set_stats(4u, from_order(sums.least));
  set_stats(5u, from_order(sums.most));
}
