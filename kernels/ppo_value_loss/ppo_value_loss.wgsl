// See ppo_value_loss.h, and common/token_loss.wgsl for the passes. Bytes per token: 12 (16 with clip), the least there
// is; with `valid` 2 more for 1, as the tokens are counted before any gradient can be written.

const OFFSETS_INPUT = 4u;
const STATS = 10u;

// Moments of R - V and of R over the same tokens: mean and sum of squared deviations. While a lane adds up its tokens
// they are sums of deviations from the lane's first token, and of their squares.
struct Moments {
  mean: Pair,
  m2: Pair,
}
struct Sums {
  term: Pair,
  clipped: u32,
  n: u32,
  error: Moments,
  returns: Moments,
}
var<private> first_error: Pair;
var<private> first_return: f32;

fn no_sums() -> Sums {
  let none = Moments(Pair(0.0, 0.0), Pair(0.0, 0.0));
  return Sums(Pair(0.0, 0.0), 0u, 0u, none, none);
}
// Chan, Golub & LeVeque 1979.
fn merge_moments(a: Moments, b: Moments, of_a: u32, share_of_b: Pair) -> Moments {
  let apart = pair_subtract(b.mean, a.mean);
  let far = value_of(apart);
  let between = scaled(far, far) * (f32(of_a) * share_of_b.high);
  let m2 = pair_add(pair_add(a.m2, b.m2), Pair(between, 0.0));
  return Moments(pair_add(a.mean, pair_multiply(apart, share_of_b)), m2);
}
fn merge_sums(a: Sums, b: Sums) -> Sums {
  if (b.n == 0u) {
    return a;
  }
  if (a.n == 0u) {
    return b;
  }
  let n = a.n + b.n;
  let share_of_b = pair_divide(pair_of_u(b.n), pair_of_u(n));
  return Sums(
    pair_add(a.term, b.term),
    a.clipped + b.clipped,
    n,
    merge_moments(a.error, b.error, a.n, share_of_b),
    merge_moments(a.returns, b.returns, a.n, share_of_b),
  );
}
fn load_sums(at: u32) -> Sums {
  return Sums(
    load_pair(at),
    work_u(at + 2u),
    work_u(at + 3u),
    Moments(load_pair(at + 4u), load_pair(at + 6u)),
    Moments(load_pair(at + 8u), load_pair(at + 10u)),
  );
}
fn store_sums(at: u32, sums: Sums) {
  store_pair(at, sums.term);
  set_work_u(at + 2u, sums.clipped);
  set_work_u(at + 3u, sums.n);
  store_pair(at + 4u, sums.error.mean);
  store_pair(at + 6u, sums.error.m2);
  store_pair(at + 8u, sums.returns.mean);
  store_pair(at + 10u, sums.returns.m2);
}
fn first_sums(chunk: Chunk, slot: u32, lane: u32) -> Sums {
  return no_sums();
}

fn moments_around(first: Pair, sums: Moments, n: u32) -> Moments {
  let total = pair_add(sums.mean, Pair(0.0, 0.0));
  let squares = pair_add(sums.m2, Pair(0.0, 0.0));
  let mean = pair_divide(total, pair_of_u(n));
  var m2 = squares;
  if (is_finite(squares.high)) {
    m2 = pair_subtract(squares, pair_multiply(total, mean));
  }
  if (is_negative(m2.high) && !is_nan(m2.high)) {
    m2 = Pair(0.0, 0.0);
  }
  return Moments(pair_add(first, mean), m2);
}
fn last_sums(sums: Sums) -> Sums {
  if (sums.n == 0u) {
    return sums;
  }
  var mine = sums;
  mine.term = pair_add(sums.term, Pair(0.0, 0.0));
  mine.error = moments_around(first_error, sums.error, sums.n);
  mine.returns = moments_around(Pair(first_return, 0.0), sums.returns, sums.n);
  return mine;
}

fn fill_token(i: u32, x: f32) {
  set_gradValue(i, x);
}

fn add_deviation(sums: Moments, apart: Pair) -> Moments {
  return Moments(sum_add_pair(sums.mean, apart), sum_add_pair(sums.m2, pair_multiply(apart, apart)));
}

// V - R with the value clipped around the old one, or without.
fn clipped_error(value: f32, old: f32, goal: f32) -> Pair {
  let clip = Pair(args.clip, args.clip_low);
  let low = pair_subtract(Pair(old, 0.0), clip);
  let high = pair_add(Pair(old, 0.0), clip);
  var near = Pair(value, 0.0);
  if (pair_above(near, high)) {
    near = high;
  } else if (pair_above(low, near)) {
    near = low;
  }
  return pair_subtract(near, Pair(goal, 0.0));
}

fn add_token(i: u32, sums: ptr<function, Sums>) {
  let weight = weight_of(i);
  let value = in_value(i);
  let goal = in_returns(i);
  let off = two_difference(value, goal);
  let error = Pair(-off.high, -off.low);
  var worst = value_of(off);
  var slope = 2.0 * args.scale * worst;
  if (args.given_clip == 1u) {
    let old = in_oldValue(i);
    let other = clipped_error(value, old, goal);
    // A NaN among the old values is above nothing, and must not look unclipped.
    if (is_nan(old)) {
      worst = old;
      slope = old;
    } else if (pair_above(pair_size(other), pair_size(off))) {
      worst = value_of(other);
      slope = 0.0;
      (*sums).clipped += 1u;
    }
  }
  set_gradValue(i, scaled(coefficient * weight, slope));
  (*sums).term = sum_add((*sums).term, scaled(weight, args.scale * (worst * worst)));
  if ((*sums).n == 0u) {
    first_error = error;
    first_return = goal;
  }
  (*sums).n += 1u;
  (*sums).error = add_deviation((*sums).error, pair_subtract(error, first_error));
  (*sums).returns = add_deviation((*sums).returns, two_difference(goal, first_return));
}

fn write_stats(sums: Sums) {
  set_stats(3u, f32(sums.clipped));
  set_stats(4u, f32(sums.n));
  set_stats(5u, value_of(sums.error.mean));
  set_stats(6u, value_of(sums.error.m2));
  set_stats(7u, f32(sums.n));
  set_stats(8u, value_of(sums.returns.mean));
  set_stats(9u, value_of(sums.returns.m2));
}
