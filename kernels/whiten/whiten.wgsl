// See whiten.h. `moments` of chunks of 4096 values, `combine` puts them together in one workgroup, `forward` writes y.
// 12 B per value, and valid twice: what two sweeps need at least; a chunk's second and third look at x are from cache.
//
// Squares neither overflow nor vanish, as they would not in f64: a chunk counts in a unit of its own, the power of two at its
// largest value. Deviations are taken from one of its values, so that equal values have exactly no variance.
const CHUNK = 4096u;

// Scratch: what `forward` needs, then the moments of each chunk.
const STATE = 0u;  // what y is: 0, whitened, or NaN
const UNIT = 1u;   // biased exponent
const MEAN = 2u;
const DEVIATION = 4u;
const CHUNKS = 8u;
const COUNT_WORD = 0u;
const UNIT_WORD = 1u;
const MEAN_WORD = 2u;
const SQUARES_WORD = 4u;
const CHUNK_WORDS = 6u;

const ALL_ZERO = 0u;
const WHITENED = 1u;
const ALL_NAN = 2u;

fn counts(i: u32) -> bool {
  if (!has_valid()) {
    return true;
  }
  return in_valid(i) != 0u;
}

fn work_pair(i: u32) -> Pair {
  return Pair(work(i), work(i + 1u));
}
fn set_work_pair(i: u32, x: Pair) {
  set_work(i, x.high);
  set_work(i + 1u, x.low);
}

// Element i in the unit of this biased exponent.
fn in_unit(x: f32, unit: u32) -> f32 {
  return scale_by_power(x, 127 - i32(unit));
}

@compute @workgroup_size(LANES)
fn moments(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let chunk = group_of(id);
  let first = chunk * CHUNK;
  if (first >= args.N) {
    return;
  }
  let stop = min(first + CHUNK, args.N);
  var own = 0u;
  // Ordered as the sizes of values are; the sign in the last place.
  var own_key = 0u;
  for (var i = first + lane; i < stop; i += LANES) {
    if (counts(i)) {
      own++;
      let bits = bits_of(in_x(i));
      own_key = max(own_key, (bits << 1u) | (bits >> 31u));
    }
  }
  let count = sum_all_u(own, lane);
  let key = max_all_u(own_key, lane);
  let unit = key >> 24u;
  let shift = in_unit(bitcast<f32>((key >> 1u) | (key << 31u)), unit);
  var sum = Pair(0.0, 0.0);
  for (var i = first + lane; i < stop; i += LANES) {
    if (counts(i)) {
      sum = sum_add_pair(sum, two_difference(in_unit(in_x(i), unit), shift));
    }
  }
  sum = sum_pair_all(sum, lane);
  let mean = pair_add(Pair(shift, 0.0), pair_divide(sum, Pair(f32(max(count, 1u)), 0.0)));
  var squares = Pair(0.0, 0.0);
  for (var i = first + lane; i < stop; i += LANES) {
    if (counts(i)) {
      let d = pair_subtract(Pair(in_unit(in_x(i), unit), 0.0), mean);
      squares = sum_add_pair(squares, pair_multiply(d, d));
    }
  }
  squares = sum_pair_all(squares, lane);
  if (lane == 0u) {
    let at = CHUNKS + chunk * CHUNK_WORDS;
    set_work_u(at + COUNT_WORD, count);
    set_work_u(at + UNIT_WORD, unit);
    set_work_pair(at + MEAN_WORD, mean);
    set_work_pair(at + SQUARES_WORD, squares);
  }
}

// A number of this unit in a larger one, once or squared.
fn change_unit(x: Pair, from_unit: u32, to_unit: u32, power: i32) -> Pair {
  return pair_scale(x, max(power * (i32(from_unit) - i32(to_unit)), -252));
}

@compute @workgroup_size(LANES)
fn combine(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (group_of(id) > 0u) {
    return;
  }
  let chunks = (args.N + CHUNK - 1u) / CHUNK;
  var own = 0u;
  var own_unit = 0u;
  var own_first = 0u;  // its complement, so that the largest is the first
  for (var c = lane; c < chunks; c += LANES) {
    let at = CHUNKS + c * CHUNK_WORDS;
    let count = work_u(at + COUNT_WORD);
    if (count > 0u) {
      own += count;
      own_unit = max(own_unit, work_u(at + UNIT_WORD));
      own_first = max(own_first, ~c);
    }
  }
  let n = sum_all_u(own, lane);
  let largest = max_all_u(own_unit, lane);
  let first = CHUNKS + min(~max_all_u(own_first, lane), max(chunks, 1u) - 1u) * CHUNK_WORDS;
  // Of the values, or of the root of epsilon where that is larger.
  let of_epsilon = bits_of(args.epsilon) >> 23u;
  let unit = max(largest, select(0u, (of_epsilon + 127u) / 2u, of_epsilon > 0u));
  let near = change_unit(work_pair(first + MEAN_WORD), work_u(first + UNIT_WORD), unit, 1);
  var sum = Pair(0.0, 0.0);
  for (var c = lane; c < chunks; c += LANES) {
    let at = CHUNKS + c * CHUNK_WORDS;
    let count = work_u(at + COUNT_WORD);
    if (count > 0u) {
      let mean = change_unit(work_pair(at + MEAN_WORD), work_u(at + UNIT_WORD), unit, 1);
      sum = pair_add(sum, pair_multiply(Pair(f32(count), 0.0), pair_subtract(mean, near)));
    }
  }
  sum = sum_pair_all(sum, lane);
  let mean = pair_add(near, pair_divide(sum, pair_of_u(max(n, 1u))));
  var squares = Pair(0.0, 0.0);
  for (var c = lane; c < chunks; c += LANES) {
    let at = CHUNKS + c * CHUNK_WORDS;
    let count = work_u(at + COUNT_WORD);
    if (count > 0u) {
      let from_unit = work_u(at + UNIT_WORD);
      let d = pair_subtract(change_unit(work_pair(at + MEAN_WORD), from_unit, unit, 1), mean);
      let between = pair_multiply(Pair(f32(count), 0.0), pair_multiply(d, d));
      squares = pair_add(squares, pair_add(change_unit(work_pair(at + SQUARES_WORD), from_unit, unit, 2), between));
    }
  }
  squares = sum_pair_all(squares, lane);
  let freedom = select(n, max(n, 1u) - 1u, args.unbiased == 1u);
  let epsilon = change_unit(Pair(args.epsilon, args.epsilon_low), 127u, unit, 2);
  let variance = pair_add(pair_divide(squares, pair_of_u(max(freedom, 1u))), epsilon);
  if (lane == 0u) {
    set_work_u(STATE, select(select(WHITENED, ALL_NAN, largest == 255u), ALL_ZERO, n < 2u));
    set_work_u(UNIT, unit);
    set_work_pair(MEAN, mean);
    set_work_pair(DEVIATION, pair_root(variance));
  }
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_of(id) * LANES + lane;
  if (i >= args.N) {
    return;
  }
  let state = work_u(STATE);
  if (state == ALL_ZERO || !counts(i)) {
    set_y(i, 0.0);
    return;
  }
  if (state == ALL_NAN) {
    set_y(i, nan());
    return;
  }
  let unit = work_u(UNIT);
  let mean = work_pair(MEAN);
  let deviation = work_pair(DEVIATION);
  let d = pair_subtract(Pair(in_unit(in_x(i), unit), 0.0), mean);
  // Values that do not vary at all are 0 even with epsilon 0.
  let still = value_of(d) == 0.0;
  if (args.shiftMean == 1u) {
    set_y(i, select(value_of(d) / deviation.high, 0.0, still));
    return;
  }
  // The two may cancel: both in full.
  var y = pair_scale(mean, i32(unit) - 127);
  if (!still) {
    y = pair_add(y, pair_divide(d, deviation));
  }
  set_y(i, value_of(y));
}
