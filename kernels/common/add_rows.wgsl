// Adds rows up where they came from: row v of the sum is that of gradY_i over the positions i with row_at(i) = v, in order. The
// op's own text says row_count(), row_at(i) (its input 1) and put(i, x). A row number outside the table is reported and makes
// everything NaN.
//
// Positions are sorted by row number, 8 bits at a time and stable (radix sort): `count_<k>` counts the values of digit k in
// each tile of 256 positions, `scan` turns counts into places, `place_<k>` moves the positions there. `bounds` finds where
// each row's positions begin, `add` adds up rows of few positions, `add_long` the others, in eight parts each.
// Bytes per element of a row: gradY is read once and the sum written once, the minimum; 32 B per position and digit beside.
// common/row_plans.ts has the same constants.
const DIGIT_BITS = 8u;
const FEW = 32u;
const PART_COLUMNS = 32u;
const PARTS = LANES / PART_COLUMNS;

// Words of scratch: the positions, twice; counts; bounds.
fn tiles() -> u32 {
  return (args.N + LANES - 1u) / LANES;
}
fn count_at(tile: u32, digit: u32) -> u32 {
  return 2u * args.N + tile * LANES + digit;
}
fn bound_at(row: u32) -> u32 {
  return count_at(tiles(), 0u) + row;
}
// Position k after `done` digits: the two lists are written in turn.
fn list_at(k: u32, done: u32) -> u32 {
  return select(args.N, 0u, (done & 1u) == 1u) + k;
}
fn position(k: u32, done: u32) -> u32 {
  if (done == 0u) {
    return k;
  }
  return work_u(list_at(k, done));
}
// Digits of the largest key, which is row_count(): the key of every row number outside the table.
fn digit_count() -> u32 {
  return (32u - countLeadingZeros(row_count()) + DIGIT_BITS - 1u) / DIGIT_BITS;
}
// As u32 a negative number is a large one.
fn key_of(i: u32) -> u32 {
  return min(bitcast<u32>(row_at(i)), row_count());
}

var<workgroup> digits: array<u32, LANES>;

// Leaves the tile's digits in `digits`, 256 for a place behind the last position.
fn load_digits(tile: u32, lane: u32, digit: u32) {
  let k = tile * LANES + lane;
  var value = LANES;
  if (k < args.N) {
    let i = position(k, digit);
    let key = key_of(i);
    if (digit == 0u && key == row_count()) {
      report(1u, i);
    }
    value = (key >> (DIGIT_BITS * digit)) & (LANES - 1u);
  }
  digits[lane] = value;
  workgroupBarrier();
}
fn count_tile(tile: u32, lane: u32, digit: u32) {
  load_digits(tile, lane, digit);
  var count = 0u;
  for (var other = 0u; other < LANES; other++) {
    count += select(0u, 1u, digits[other] == lane);
  }
  if (tile < tiles()) {
    set_work_u(count_at(tile, lane), count);
  }
}
fn place_tile(tile: u32, lane: u32, digit: u32) {
  load_digits(tile, lane, digit);
  let value = digits[lane];
  var before = 0u;
  for (var other = 0u; other < lane; other++) {
    before += select(0u, 1u, digits[other] == value);
  }
  let k = tile * LANES + lane;
  if (k < args.N) {
    set_work_u(list_at(work_u(count_at(tile, value)) + before, digit + 1u), position(k, digit));
  }
}

@compute @workgroup_size(LANES)
fn count_0(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  count_tile(group_of(id), lane, 0u);
}
@compute @workgroup_size(LANES)
fn count_1(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  count_tile(group_of(id), lane, 1u);
}
@compute @workgroup_size(LANES)
fn count_2(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  count_tile(group_of(id), lane, 2u);
}
@compute @workgroup_size(LANES)
fn count_3(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  count_tile(group_of(id), lane, 3u);
}
@compute @workgroup_size(LANES)
fn place_0(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  place_tile(group_of(id), lane, 0u);
}
@compute @workgroup_size(LANES)
fn place_1(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  place_tile(group_of(id), lane, 1u);
}
@compute @workgroup_size(LANES)
fn place_2(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  place_tile(group_of(id), lane, 2u);
}
@compute @workgroup_size(LANES)
fn place_3(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  place_tile(group_of(id), lane, 3u);
}

// One workgroup, a lane for each value of the digit: counts become the places of the first of each value in each tile.
@compute @workgroup_size(LANES)
fn scan(@builtin(local_invocation_index) lane: u32) {
  var total = 0u;
  for (var tile = 0u; tile < tiles(); tile++) {
    total += work_u(count_at(tile, lane));
  }
  digits[lane] = total;
  workgroupBarrier();
  var at = 0u;
  for (var smaller = 0u; smaller < lane; smaller++) {
    at += digits[smaller];
  }
  for (var tile = 0u; tile < tiles(); tile++) {
    let count = work_u(count_at(tile, lane));
    set_work_u(count_at(tile, lane), at);
    at += count;
  }
}

// Where the positions of each row begin, and behind the last row how many positions name one.
@compute @workgroup_size(LANES)
fn bounds(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_of(id) * LANES + lane;
  if (row > row_count()) {
    return;
  }
  let done = digit_count();
  var low = 0u;
  var high = args.N;
  while (low < high) {
    let middle = low + (high - low) / 2u;
    if (key_of(position(middle, done)) < row) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  set_work_u(bound_at(row), low);
}

fn all_are_rows() -> bool {
  return work_u(bound_at(row_count())) == args.N;
}

// The second part of what is not finite means nothing, and value_of does not look at it.
fn plus(a: Pair, b: Pair) -> Pair {
  let s = two_sum(a.high, b.high);
  return Pair(s.high, s.low + (a.low + b.low));
}
fn term(k: u32, column: u32) -> Pair {
  return Pair(in_gradY(position(k, digit_count()) * args.H + column), 0.0);
}
fn sum_of(first: u32, stop: u32, column: u32) -> Pair {
  var sum = Pair(0.0, 0.0);
  var k = first;
  // Four at a time are on their way from memory.
  for (; k + 4u <= stop; k += 4u) {
    let a = term(k, column);
    let b = term(k + 1u, column);
    let c = term(k + 2u, column);
    let d = term(k + 3u, column);
    sum = plus(plus(plus(plus(sum, a), b), c), d);
  }
  for (; k < stop; k++) {
    sum = plus(sum, term(k, column));
  }
  return sum;
}

@compute @workgroup_size(LANES)
fn add(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = tile_of(group_of(id), lane, row_count(), args.H);
  let is_good = all_are_rows();
  for (var row = tile.row; row < tile.stop; row += TILE_STEP) {
    let i = row * args.H + tile.column;
    let first = work_u(bound_at(row));
    let stop = work_u(bound_at(row + 1u));
    if (!is_good) {
      put(i, nan());
    } else if (stop - first <= FEW) {
      put(i, value_of(sum_of(first, stop, tile.column)));
    }
  }
}

// A workgroup for every 32nd place of the sorted positions and 32 columns: the first of them within a row has the row.
@compute @workgroup_size(LANES)
fn add_long(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let strips = (args.H + PART_COLUMNS - 1u) / PART_COLUMNS;
  let k = group_of(id) / strips * FEW;
  let column = group_of(id) % strips * PART_COLUMNS + lane % PART_COLUMNS;
  let part = lane / PART_COLUMNS;
  var row = 0u;
  var first = 0u;
  var stop = 0u;
  if (k < args.N && column < args.H && all_are_rows()) {
    row = key_of(position(k, digit_count()));
    first = work_u(bound_at(row));
    stop = work_u(bound_at(row + 1u));
  }
  let is_mine = stop - first > FEW && k - first < FEW;
  var sum = Pair(0.0, 0.0);
  if (is_mine) {
    let share = (stop - first + PARTS - 1u) / PARTS;
    sum = sum_of(min(first + part * share, stop), min(first + (part + 1u) * share, stop), column);
  }
  lanes[lane] = sum.high;
  lanes_low[lane] = sum.low;
  workgroupBarrier();
  if (!is_mine || part > 0u) {
    return;
  }
  for (var other = lane + PART_COLUMNS; other < LANES; other += PART_COLUMNS) {
    sum = plus(sum, Pair(lanes[other], lanes_low[other]));
  }
  put(row * args.H + column, value_of(sum));
}
