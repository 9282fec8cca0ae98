// One query that meets its cache of rotated keys, as in decoding, and a workgroup of 64 to itself: an invocation has a key of
// each block for the scores, and up to four columns for the values. Every sum is the chain of `forward`, so that the bits are
// too; a tile would fill one of its 32 rows. Keys and values are read once per query head.
const MOST_SIZE = 256u;
const PARTS = OTHERS / PAIRS;

// The query in the order in which scores take up its elements: eight first elements of pairs, then their second ones.
var<workgroup> single_query: array<f32, MOST_SIZE + TERMS>;
var<workgroup> single_weights: array<f32, OTHERS>;
// Of eight keys each.
var<workgroup> part_most: array<f32, PARTS>;
var<workgroup> part_bad: array<f32, PARTS>;
var<workgroup> part_sum: array<f32, PARTS>;

fn single_score(key_at: u32) -> f32 {
  let half = half_size();
  var score = 0.0;
  for (var i = 0u; i < half; i += PAIRS) {
    let stop = min(i + PAIRS, half);
    for (var n = i; n < stop; n++) {
      score = fma(single_query[i + n], in_key(key_at + n), score);
    }
    for (var n = i; n < stop; n++) {
      score = fma(single_query[i + n + PAIRS], in_key(key_at + half + n), score);
    }
  }
  return score;
}

@compute @workgroup_size(OTHERS)
fn single(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_of(id);
  if (row >= args.N * args.A) {
    return;
  }
  if (lane == 0u) {
    shared_keys = keys_of(row / args.A, Span(row / args.A, 1u));
  }
  let keys = workgroupUniformLoad(&shared_keys);
  let seen = select(keys.before + 1u, 0u, keys.broken == 1u);
  let size = 2u * half_size();
  for (var i = lane; i < half_size() && seen > 0u; i += OTHERS) {
    let query = turned(query_pair(row * size, i), query_angle(i, seen - 1u)) * score_scale();
    let at = i / PAIRS * TERMS + i % PAIRS;
    single_query[at] = query.x;
    single_query[at + PAIRS] = query.y;
  }
  let head_at = keys.first * args.C + row % args.A / heads_per_key() * size;
  let first_key = lane * PAIRS;
  var most = LOWEST;
  var total = 0.0;
  var bad = 0.0;
  var y = vec4<f32>();
  for (var block = 0u; block < seen; block += OTHERS) {
    let count = min(OTHERS, seen - block);
    let block_at = head_at + block * args.C;
    workgroupBarrier();
    var score = 0.0;
    if (lane < count) {
      score = single_score(block_at + lane * args.C);
    }
    single_weights[lane] = score;
    workgroupBarrier();
    if (lane < PARTS) {
      var highest = LOWEST;
      var odd = 0.0;
      for (var at = first_key; at < min(first_key + PAIRS, count); at++) {
        let x = single_weights[at];
        if (is_finite(x)) {
          highest = max(highest, x);
        } else if (is_nan(x) || !is_negative(x)) {
          odd = 1.0;
        }
      }
      part_most[lane] = highest;
      part_bad[lane] = odd;
    }
    workgroupBarrier();
    let before = most;
    for (var part = 0u; part < PARTS; part++) {
      most = max(most, part_most[part]);
      bad = max(bad, part_bad[part]);
    }
    single_weights[lane] = exp_of(score - most);
    workgroupBarrier();
    if (lane < PARTS) {
      var sum = 0.0;
      for (var at = first_key; at < min(first_key + PAIRS, count); at++) {
        sum += single_weights[at];
      }
      part_sum[lane] = sum;
    }
    workgroupBarrier();
    let factor = exp_of(before - most);
    total = opaque_of(total * factor);
    for (var part = 0u; part < PARTS; part++) {
      total += part_sum[part];
    }
    y *= factor;
    for (var column = lane; column < size; column += OTHERS) {
      var sum = y[column / OTHERS];
      for (var at = 0u; at < count; at++) {
        sum = fma(single_weights[at], in_value(block_at + at * args.C + column), sum);
      }
      y[column / OTHERS] = sum;
    }
  }
  let wrong = bad != 0.0 || total == 0.0;
  for (var column = lane; column < size; column += OTHERS) {
    set_y(row * size + column, select(y[column / OTHERS] / total, nan(), wrong));
  }
  if (lane == 0u) {
    set_logSum(row, select(most + log_of(total), nan(), wrong));
  }
}
