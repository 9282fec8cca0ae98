// See sample_tokens.h. A workgroup for each row, which finds the largest logit, with topK the least rank and with topP the
// least weight that stays (by bisection, as the cpu does), and then narrows the row down, 256 pieces at a time, to the token
// where the running sum exceeds the threshold. Sums are whole numbers of 64 bits, so that their order does not matter.
// 4 B per element from memory; every pass after the first reads from cache: 2, up to 32 with topK, 31 with topP.

// The bits of -20.9: what lies further below the largest weighs less than 1.
const FAR = 0xc1a73333u;
// The rank of 0: -inf has rank 0, so that a least rank of 1 leaves it out, and +inf has twice this.
const HALF_RANKS = 0x7f800000;
const INFINITE_RANK = 0xff000000u;
const NAN_RANK = 0xffffffffu;

struct Row {
  at: u32,
  top: f32,
  inverse_temperature: f32,
  // Only logits of this rank or a higher one stay,
  least_rank: u32,
  // and only weights of this size.
  least_weight: u32,
}

// Tokens that need no narrowing down.
const FEW = 8u;

// 256 numbers, and their sums by sixteens.
const GROUP = 16u;
var<workgroup> numbers: array<vec2<u32>, LANES>;
var<workgroup> group_sums: array<vec2<u32>, LANES / GROUP>;
var<workgroup> leaf: vec3<u32>;

// All sums on the way stay until the next call.
fn sum_groups(x: vec2<u32>, lane: u32) -> vec2<u32> {
  numbers[lane] = x;
  workgroupBarrier();
  if (lane < LANES / GROUP) {
    var sum = vec2<u32>();
    for (var i = lane * GROUP; i < (lane + 1u) * GROUP; i++) {
      sum = add_u64(sum, numbers[i]);
    }
    group_sums[lane] = sum;
  }
  var sums = workgroupUniformLoad(&group_sums);
  var total = vec2<u32>();
  for (var i = 0u; i < LANES / GROUP; i++) {
    total = add_u64(total, sums[i]);
  }
  return total;
}

// The lane whose number the running sum exceeds `threshold` with, and (y, z) what of the threshold is left before it.
fn leaf_beyond(threshold: vec2<u32>, lane: u32) -> vec3<u32> {
  if (lane == 0u) {
    var left = threshold;
    var group = 0u;
    while (group + 1u < LANES / GROUP && !is_less_u64(left, group_sums[group])) {
      left = subtract_u64(left, group_sums[group]);
      group++;
    }
    var at = group * GROUP;
    while (at + 1u < (group + 1u) * GROUP && !is_less_u64(left, numbers[at])) {
      left = subtract_u64(left, numbers[at]);
      at++;
    }
    leaf = vec3<u32>(at, left);
  }
  return workgroupUniformLoad(&leaf);
}

// The logits j, j + stride, ... of the row at `at`; -inf from `stop` on.
fn four(at: u32, j: u32, stride: u32, stop: u32) -> vec4<f32> {
  let each = vec4<u32>(j, j + stride, j + 2u * stride, j + 3u * stride);
  let i = min(each, vec4<u32>(stop - 1u)) + at;
  let x = vec4<f32>(in_logits(i.x), in_logits(i.y), in_logits(i.z), in_logits(i.w));
  return select(vec4<f32>(-infinity()), x, each < vec4<u32>(stop));
}

// f32 numbers in rising order, as integers; both zeros are one.
fn ranks_of(x: vec4<f32>) -> vec4<u32> {
  let i = bitcast<vec4<i32>>(x);
  return vec4<u32>(select(-(i & vec4<i32>(0x7fffffff)), i, i >= vec4<i32>()) + HALF_RANKS);
}

// floor(2^30 e^((x - top) / temperature)) of those that stay, with exp of math.h.
fn weights_of(row: Row, x: vec4<f32>) -> vec4<u32> {
  let gap = bitcast<vec4<f32>>(bitcast<vec4<u32>>(x - row.top) ^ vec4<u32>(args.zero));
  let bits = bitcast<vec4<u32>>(gap * row.inverse_temperature) ^ vec4<u32>(args.zero);
  let near = bits <= vec4<u32>(FAR);
  let exponent = bitcast<vec4<f32>>(select(vec4<u32>(), bits, near));
  let n = round(exponent * 1.44269504);
  var r = fma(-n, vec4<f32>(0.693145751953125), exponent);
  r = fma(-n, vec4<f32>(1.42860682030941723e-6), r);
  let q = vec4<f32>(exp_tail(r.x), exp_tail(r.y), exp_tail(r.z), exp_tail(r.w));
  let power = bitcast<vec4<f32>>((vec4<i32>(n) + 157) << vec4<u32>(23u));
  let weights = vec4<u32>((fma(r * r, q, r) + 1.0) * power);
  let stays = near & (ranks_of(x) >= vec4<u32>(row.least_rank)) & (weights >= vec4<u32>(row.least_weight));
  return select(vec4<u32>(), weights, stays);
}

// All weights that stay.
fn total_weight(row: Row, lane: u32) -> vec2<u32> {
  var sum = vec2<u32>();
  for (var j = lane; j < args.V; j += 4u * LANES) {
    let w = weights_of(row, four(row.at, j, LANES, args.V));
    sum = add_u64(add_u64(sum, vec2<u32>(w.x + w.y, 0u)), vec2<u32>(w.z + w.w, 0u));
  }
  return sum_groups(sum, lane);
}

// The rank of the topK-th largest, or one below it that just as many reach; -inf never stays.
fn rank_of_kth(at: u32, highest: u32, lane: u32) -> u32 {
  let k = u32(args.topK);
  if (k >= args.V) {
    return 1u;
  }
  var low = 1u;
  var high = highest;
  while (low < high) {
    let middle = low + (high - low + 1u) / 2u;
    var count = vec4<u32>();
    for (var j = lane; j < args.V; j += 4u * LANES) {
      count += select(vec4<u32>(), vec4<u32>(1u), ranks_of(four(at, j, LANES, args.V)) >= vec4<u32>(middle));
    }
    let reached = sum_all_u(count.x + count.y + count.z + count.w, lane);
    if (reached == k) {
      return middle;
    }
    if (reached > k) {
      low = middle;
    } else {
      high = middle - 1u;
    }
  }
  return low;
}

// 2^64 x for |x| <= 1, modulo 2^64.
fn fixed_point(x: f32) -> vec2<u32> {
  let bits = bits_of(x);
  let digits = (bits & 0x7fffffu) | 0x800000u;
  let shift = i32((bits >> 23u) & 255u) - 86;
  var fixed = vec2<u32>();
  if (shift >= 32) {
    fixed.y = digits << u32(shift - 32);
  } else if (shift > 0) {
    fixed = vec2<u32>(digits << u32(shift), digits >> u32(32 - shift));
  } else if (shift > -24) {
    fixed.x = digits >> u32(-shift);
  }
  if (is_negative(x)) {
    return subtract_u64(vec2<u32>(), fixed);
  }
  return fixed;
}

// The least whole number that is not below topP * total. topP has 48 bits here: what is beyond them is no reason to round up.
fn share_of(total: vec2<u32>) -> vec2<u32> {
  let share = add_u64(fixed_point(args.topP), fixed_point(args.topP_low));
  if (all(share == vec2<u32>())) {
    return total;
  }
  let product = multiply_u64(share, total);
  let slack = select(0xffffffffu, (total.y << 16u) | (total.x >> 16u), total.y < 65536u);
  return add_u64(product.zw, vec2<u32>(select(0u, 1u, product.y > slack), 0u));
}

// The largest weight such that those that reach it add up to topP of all.
fn weight_of_nucleus(row: Row, lane: u32) -> u32 {
  var some = row;
  let wanted = share_of(total_weight(row, lane));
  var low = 1u;
  var high = 1u << 30u;
  while (low < high) {
    some.least_weight = low + (high - low + 1u) / 2u;
    if (is_less_u64(total_weight(some, lane), wanted)) {
      high = some.least_weight - 1u;
    } else {
      low = some.least_weight;
    }
  }
  return low;
}

// The first token whose running sum exceeds floor(random * total / 2^64).
fn drawn_token(row: Row, random: vec2<u32>, lane: u32) -> u32 {
  var begin = 0u;
  var stop = args.V;
  var threshold = vec2<u32>();
  loop {
    let piece = (stop - begin + LANES - 1u) / LANES;
    let end = min(begin + (lane + 1u) * piece, stop);
    var sum = vec2<u32>();
    for (var j = begin + lane * piece; j < end; j += 4u) {
      let w = weights_of(row, four(row.at, j, 1u, end));
      sum = add_u64(add_u64(sum, vec2<u32>(w.x + w.y, 0u)), vec2<u32>(w.z + w.w, 0u));
    }
    let total = sum_groups(sum, lane);
    if (stop - begin == args.V) {
      threshold = multiply_u64(random, total).zw;
    }
    let found = leaf_beyond(threshold, lane);
    threshold = found.yz;
    begin += found.x * piece;
    stop = min(begin + piece, stop);
    if (piece <= FEW) {
      break;
    }
  }
  // By every invocation for itself: no barrier.
  for (; begin + 1u < stop; begin++) {
    let weight = vec2<u32>(weights_of(row, vec4<f32>(in_logits(row.at + begin))).x, 0u);
    if (is_less_u64(threshold, weight)) {
      break;
    }
    threshold = subtract_u64(threshold, weight);
  }
  return begin;
}

fn first_of_rank(at: u32, rank: u32, lane: u32) -> u32 {
  var first = args.V;
  for (var j = lane; j < args.V; j += LANES) {
    if (ranks_of(vec4<f32>(in_logits(at + j))).x == rank) {
      first = min(first, j);
    }
  }
  return ~max_all_u(~first, lane);
}

fn of_rank(rank: u32) -> f32 {
  let i = i32(rank) - HALF_RANKS;
  return bitcast<f32>(select(-i | i32(0x80000000u), i, i >= 0));
}

// The highest rank of a row, which says what decides it: a NaN, +inf, the largest number, or 0 if there is only -inf.
fn highest_rank(at: u32, lane: u32) -> u32 {
  var most = 0u;
  for (var j = lane; j < args.V; j += 4u * LANES) {
    let x = four(at, j, LANES, args.V);
    let nan = (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    let ranks = select(ranks_of(x), vec4<u32>(NAN_RANK), nan);
    most = max(most, max(max(ranks.x, ranks.y), max(ranks.z, ranks.w)));
  }
  return max_all_u(most, lane);
}
fn is_drawn(rank: u32) -> bool {
  return rank > 0u && rank < INFINITE_RANK && (args.temperature != 0.0 || args.inverseTemperature != 0.0);
}
// Where nothing is drawn.
fn certain_token(rank: u32, at: u32, lane: u32) -> i32 {
  if (rank == 0u || rank == NAN_RANK) {
    return -1;
  }
  return i32(first_of_rank(at, rank, lane));
}
fn row_of(at: u32, rank: u32) -> Row {
  // A temperature near 0 would make this infinite, and 0 * infinity NaN.
  let inverse_temperature = select(3e38, args.inverseTemperature, is_finite(args.inverseTemperature));
  return Row(at, of_rank(rank), inverse_temperature, 1u, 0u);
}
fn random_of(n: u32) -> vec2<u32> {
  var stream = n;
  if (has_streams()) {
    stream = bitcast<u32>(in_streams(n));
  }
  return philox(vec2<u32>(args.seed_low, args.seed_high), vec2<u32>(args.counter_low, args.counter_high), stream);
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = group_of(id);
  if (n >= args.N) {
    return;
  }
  let rank = highest_rank(n * args.V, lane);
  var token = -1;
  if (is_drawn(rank)) {
    token = i32(drawn_token(row_of(n * args.V, rank), random_of(n), lane));
  } else {
    token = certain_token(rank, n * args.V, lane);
  }
  if (lane == 0u) {
    set_tokens(n, token);
  }
}

// With topK or topP. An entry point of its own: what the other one does not need would cost it registers.
@compute @workgroup_size(LANES)
fn limited(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = group_of(id);
  if (n >= args.N) {
    return;
  }
  let rank = highest_rank(n * args.V, lane);
  var token = -1;
  if (is_drawn(rank)) {
    var row = row_of(n * args.V, rank);
    if (args.given_topK != 0u) {
      row.least_rank = rank_of_kth(row.at, rank, lane);
    }
    if (args.given_topP != 0u) {
      row.least_weight = weight_of_nucleus(row, lane);
    }
    token = i32(drawn_token(row, random_of(n), lane));
  } else {
    token = certain_token(rank, n * args.V, lane);
  }
  if (lane == 0u) {
    set_tokens(n, token);
  }
}
