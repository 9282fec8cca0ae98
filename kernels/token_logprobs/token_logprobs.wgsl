// See token_logprobs.h. A workgroup takes up to PART logits of a row, each lane every 256th of them, eight at a step, with a
// largest and sums of its own, which shrink when the largest grows; then the lanes are combined. Rows of more logits leave
// their parts in `work`, and `finish` combines those in order; `narrow` has eight short rows in a workgroup. Logits are read once
// (again only in rows with NaN or +inf): 2 or 4 B per element, the minimum.

// token_logprobs.webgpu.ts has the same.
const PART = 16384u;
const PART_WORDS = 4u;

// A row or a piece of it. `largest` may also be +inf (of which there are `tops`), -inf (nothing else), or NaN.
struct RowSum {
  largest: f32,
  // Those that equal the largest.
  tops: f32,
  // Sum of e^(x - largest) over the others.
  others: f32,
  // Sum of e^(x - largest) (x - largest).
  moment: f32,
}

// The same against a largest that is not less.
fn raised(row: RowSum, largest: f32) -> RowSum {
  let gap = row.largest - largest;
  if (bits_of(gap) > FAR) {
    return RowSum(largest, 0.0, 0.0, 0.0);
  }
  let shrink = exp_of(gap);
  let all = row.others + row.tops;
  let same = gap == 0.0;
  return RowSum(
    largest,
    select(0.0, row.tops, same),
    select(shrink * all, row.others, same),
    shrink * fma(gap, all, row.moment),
  );
}

fn added(row: RowSum, x: vec4<f32>) -> RowSum {
  let gaps = gaps_of(x - row.largest);
  let top = x == vec4<f32>(row.largest);
  let one = select(vec4<f32>(), vec4<f32>(1.0), top);
  let e = select(gaps.e, vec4<f32>(), top);
  let product = gaps.e * gaps.gap;
  return RowSum(
    row.largest,
    row.tops + ((one.x + one.y) + (one.z + one.w)),
    row.others + ((e.x + e.y) + (e.z + e.w)),
    row.moment + select(0.0, (product.x + product.y) + (product.z + product.w), wants_entropy()),
  );
}

struct Four {
  x: vec4<f32>,
  // Is a NaN or +inf among them?
  odd: bool,
}

// x of the logits j, j + stride, ...; those from `stop` on, and what is not finite, are the lowest.
fn four(t: Transform, at: u32, j: u32, stride: u32, stop: u32) -> Four {
  let each = vec4<u32>(j, j + stride, j + 2u * stride, j + 3u * stride);
  let i = min(each, vec4<u32>(stop - 1u)) + at;
  let x = transformed(t, vec4<f32>(in_logits(i.x), in_logits(i.y), in_logits(i.z), in_logits(i.w)));
  let bits = bitcast<vec4<u32>>(x);
  let inside = each < vec4<u32>(stop);
  let finite = (bits & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u);
  let odd = any(inside & !finite & (bits != vec4<u32>(0xff800000u)));
  return Four(select(vec4<f32>(LOWEST), x, inside & finite), odd);
}

struct Counts {
  nans: u32,
  certain: u32,
  finite: u32,
}
fn counted(counts: Counts, x: f32) -> Counts {
  return Counts(
    counts.nans + select(0u, 1u, is_nan(x)),
    counts.certain + select(0u, 1u, bits_of(x) == 0x7f800000u),
    counts.finite + select(0u, 1u, is_finite(x)),
  );
}
// Of rows whose largest cannot be told from what stands for NaN, +inf and -inf.
fn looked_at_again(counts: Counts, sum: RowSum) -> RowSum {
  if (counts.nans > 0u) {
    return RowSum(nan(), 0.0, 0.0, 0.0);
  }
  if (counts.certain > 0u) {
    return RowSum(infinity(), f32(counts.certain), 0.0, 0.0);
  }
  if (counts.finite == 0u) {
    return RowSum(-infinity(), 0.0, 0.0, 0.0);
  }
  if (sum.largest == LOWEST) {
    return RowSum(LOWEST, f32(counts.finite), 0.0, 0.0);
  }
  return sum;
}

struct Share {
  sum: RowSum,
  odd: bool,
}
// The logits j, j + stride, ... before `stop`.
fn share_of(t: Transform, at: u32, first: u32, stride: u32, stop: u32) -> Share {
  var mine = RowSum(LOWEST, 0.0, 0.0, 0.0);
  var odd = false;
  for (var j = first; j < stop; j += 8u * stride) {
    let a = four(t, at, j, stride, stop);
    let b = four(t, at, j + 4u * stride, stride, stop);
    let top = max(a.x, b.x);
    mine = raised(mine, max(mine.largest, max(max(top.x, top.y), max(top.z, top.w))));
    mine = added(added(mine, a.x), b.x);
    odd = odd || a.odd || b.odd;
  }
  return Share(mine, odd);
}

// The logits [begin, stop) of the row that begins at `at`, by all lanes.
fn part_sum(at: u32, begin: u32, stop: u32, lane: u32) -> RowSum {
  let t = transform_of();
  let share = share_of(t, at, begin + lane, LANES, stop);
  let largest = max_all(select(share.sum.largest, HIGHEST, share.odd), lane);
  let mine = raised(share.sum, largest);
  var moment = 0.0;
  if (wants_entropy()) {
    moment = sum_all(mine.moment, lane);
  }
  let sum = RowSum(largest, sum_all(mine.tops, lane), sum_all(mine.others, lane), moment);
  if (largest == LOWEST || largest == HIGHEST) {
    var counts = Counts();
    for (var j = begin + lane; j < stop; j += LANES) {
      counts = counted(counts, transformed(t, vec4<f32>(in_logits(at + j))).x);
    }
    let all = Counts(sum_all_u(counts.nans, lane), sum_all_u(counts.certain, lane), sum_all_u(counts.finite, lane));
    return looked_at_again(all, sum);
  }
  return sum;
}

fn joined(a: RowSum, b: RowSum) -> RowSum {
  if (is_nan(a.largest) || bits_of(b.largest) == 0xff800000u) {
    return a;
  }
  if (is_nan(b.largest) || bits_of(a.largest) == 0xff800000u) {
    return b;
  }
  if (is_infinite(a.largest) || is_infinite(b.largest)) {
    let certain = select(0.0, a.tops, is_infinite(a.largest)) + select(0.0, b.tops, is_infinite(b.largest));
    return RowSum(infinity(), certain, 0.0, 0.0);
  }
  let largest = max(a.largest, b.largest);
  let left = raised(a, largest);
  let right = raised(b, largest);
  return RowSum(largest, left.tops + right.tops, left.others + right.others, left.moment + right.moment);
}

fn write(row: u32, logprob: f32, largest: f32, log_sum: f32, entropy: f32) {
  set_logprob(row, logprob);
  set_rowMax(row, largest);
  set_logSum(row, log_sum);
  set_entropy(row, entropy);
}

// Writes what needs no logits: rows of the ignored token, and of ids that are none. Are there others to be written?
fn is_counted(token: i32) -> bool {
  return token != args.ignoreIndex && token >= 0 && token < i32(args.V);
}
fn write_uncounted(row: u32, token: i32) {
  if (token == args.ignoreIndex) {
    write(row, 0.0, 0.0, 0.0, 0.0);
  } else {
    report(1u, row);
    write(row, nan(), nan(), nan(), nan());
  }
}

fn write_counted(row: u32, token: i32, sum: RowSum) {
  let certain = is_infinite(sum.largest);
  if (is_nan(sum.largest) || (certain && sum.tops != 1.0)) {
    write(row, nan(), nan(), nan(), nan());
    return;
  }
  let others = select(sum.others + (sum.tops - 1.0), 0.0, certain);
  let log_sum = log1p_of(others);
  let x = transformed(transform_of(), vec4<f32>(in_logits(row * args.V + u32(token)))).x;
  var logprob = -log_sum;
  if (bits_of(x) != bits_of(sum.largest)) {
    logprob = select(x - sum.largest - log_sum, -infinity(), certain || is_infinite(x));
  }
  write(row, logprob, sum.largest, log_sum, log_sum - sum.moment / (1.0 + others));
}

var<workgroup> token_of_row: i32;

// The row's token, uniformly.
fn token_all(row: u32, lane: u32) -> i32 {
  if (lane == 0u) {
    token_of_row = in_tokens(row);
  }
  return workgroupUniformLoad(&token_of_row);
}

@compute @workgroup_size(LANES)
fn rows(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_of(id);
  if (row >= args.N) {
    return;
  }
  let token = token_all(row, lane);
  if (is_counted(token)) {
    let sum = part_sum(row * args.V, 0u, args.V, lane);
    if (lane == 0u) {
      write_counted(row, token, sum);
    }
  } else if (lane == 0u) {
    write_uncounted(row, token);
  }
}

var<workgroup> row_largest: array<f32, LANES>;
var<workgroup> row_tops: array<f32, LANES>;
var<workgroup> row_others: array<f32, LANES>;
var<workgroup> row_moment: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn narrow(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_of(id) * ROWS + lane / ROW_LANES;
  let at = row * args.V;
  let first = lane % ROW_LANES;
  let t = transform_of();
  var token = args.ignoreIndex;
  if (row < args.N) {
    token = in_tokens(row);
  }
  let share = share_of(t, at, first, ROW_LANES, select(0u, args.V, is_counted(token)));
  row_largest[lane] = select(share.sum.largest, HIGHEST, share.odd);
  workgroupBarrier();
  var largest = LOWEST;
  for (var i = lane - first; i < lane - first + ROW_LANES; i++) {
    largest = max(largest, row_largest[i]);
  }
  let mine = raised(share.sum, largest);
  row_tops[lane] = mine.tops;
  row_others[lane] = mine.others;
  row_moment[lane] = mine.moment;
  workgroupBarrier();
  if (row >= args.N || first > 0u) {
    return;
  }
  if (!is_counted(token)) {
    write_uncounted(row, token);
    return;
  }
  var sum = RowSum(largest, 0.0, 0.0, 0.0);
  for (var i = lane; i < lane + ROW_LANES; i++) {
    sum = RowSum(largest, sum.tops + row_tops[i], sum.others + row_others[i], sum.moment + row_moment[i]);
  }
  if (largest == LOWEST || largest == HIGHEST) {
    var counts = Counts();
    for (var j = 0u; j < args.V; j++) {
      counts = counted(counts, transformed(t, vec4<f32>(in_logits(at + j))).x);
    }
    sum = looked_at_again(counts, sum);
  }
  write_counted(row, token, sum);
}

@compute @workgroup_size(LANES)
fn parts(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let count = (args.V + PART - 1u) / PART;
  let row = group_of(id) / count;
  if (row >= args.N) {
    return;
  }
  if (is_counted(token_all(row, lane))) {
    let begin = (group_of(id) % count) * PART;
    let sum = part_sum(row * args.V, begin, min(begin + PART, args.V), lane);
    if (lane == 0u) {
      let at = group_of(id) * PART_WORDS;
      set_work(at, sum.largest);
      set_work(at + 1u, sum.tops);
      set_work(at + 2u, sum.others);
      set_work(at + 3u, sum.moment);
    }
  }
}

@compute @workgroup_size(LANES)
fn finish(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_of(id) * LANES + lane;
  if (row >= args.N) {
    return;
  }
  let token = in_tokens(row);
  if (!is_counted(token)) {
    write_uncounted(row, token);
    return;
  }
  let count = (args.V + PART - 1u) / PART;
  var sum = RowSum(-infinity(), 0.0, 0.0, 0.0);
  for (var part = 0u; part < count; part++) {
    let at = (row * count + part) * PART_WORDS;
    sum = joined(sum, RowSum(work(at), work(at + 1u), work(at + 2u), work(at + 3u)));
  }
  write_counted(row, token, sum);
}
