// See pool_rows.h. Mean: `partials` adds up 256 rows of a sequence in 256 columns, `finish` adds those up in order. Last:
// `last` copies a row per sequence. 4 B per element, the minimum, and 1/128 of that twice for the partial sums.
const OFFSETS_INPUT = 2u;
const ROWS = 256u;

// Scratch: word 0 of sequences.wgsl, the rows that count in each slot, and their sums.
const COUNTS = 1u;

fn tiles_of_row() -> u32 {
  return (args.H + LANES - 1u) / LANES;
}
fn sum_word(slot: u32, h: u32) -> u32 {
  return COUNTS + slots_of(ROWS) + 2u * (slot * args.H + h);
}

@compute @workgroup_size(LANES)
fn partials(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group_of(id) / tiles_of_row();
  let h = (group_of(id) % tiles_of_row()) * LANES + lane;
  if (slot >= slots_of(ROWS) || h >= args.H) {
    return;
  }
  let chunk = chunk_of(slot, ROWS);
  if (chunk.sequence == NO_SEQUENCE) {
    return;
  }
  var count = 0u;
  var sum = Pair(0.0, 0.0);
  for (var row = chunk.start; row < chunk.start + chunk.count; row++) {
    if (is_valid(row)) {
      count++;
      sum = sum_add(sum, in_x(row * args.H + h));
    }
  }
  set_work(sum_word(slot, h), sum.high);
  set_work(sum_word(slot, h) + 1u, sum.low);
  if (h == 0u) {
    set_work_u(COUNTS + slot, count);
  }
}

@compute @workgroup_size(LANES)
fn finish(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let b = group_of(id) / tiles_of_row();
  let h = (group_of(id) % tiles_of_row()) * LANES + lane;
  if (b >= args.B || h >= args.H) {
    return;
  }
  if (offsets_broken()) {
    set_y(b * args.H + h, nan());
    return;
  }
  let first = first_slot_of(b, ROWS);
  var count = 0u;
  var sum = Pair(0.0, 0.0);
  for (var slot = first; slot < first + chunks_of(span_of(b).length, ROWS); slot++) {
    count += work_u(COUNTS + slot);
    sum = pair_add(sum, Pair(work(sum_word(slot, h)), work(sum_word(slot, h) + 1u)));
  }
  set_y(b * args.H + h, value_of(pair_divide(sum, pair_of_u(max(count, 1u)))));
}

@compute @workgroup_size(LANES)
fn last(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let b = group_of(id);
  if (b >= args.B) {
    return;
  }
  let row = last_valid_all(span_all(b, lane), lane);
  for (var h = lane; h < args.H; h += LANES) {
    if (offsets_broken()) {
      set_y(b * args.H + h, nan());
    } else if (row == NO_TOKEN) {
      set_y(b * args.H + h, 0.0);
    } else {
      set_y(b * args.H + h, in_x(row * args.H + h));
    }
  }
}
