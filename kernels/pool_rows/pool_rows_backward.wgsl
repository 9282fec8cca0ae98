// See pool_rows.h. `pooled` (where it must be looked for) finds how many rows of a sequence count, or the last of them;
// `rows` writes 16 rows of a sequence in a workgroup: 4 B per element, the minimum.
const OFFSETS_INPUT = 3u;
const ROWS = 16u;
const MEAN = 0u;

// Scratch: word 0 of sequences.wgsl, then per sequence the count, or the last row.
const POOLED = 1u;

@compute @workgroup_size(LANES)
fn pooled(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let b = group_of(id);
  if (b >= args.B) {
    return;
  }
  let span = span_all(b, lane);
  if (args.kind != MEAN) {
    let last = last_valid_all(span, lane);
    if (lane == 0u) {
      set_work_u(POOLED + b, last);
    }
    return;
  }
  var count = 0u;
  for (var t = lane; t < span.length; t += LANES) {
    count += select(0u, 1u, is_valid(span.start + t));
  }
  count = sum_all_u(count, lane);
  if (lane == 0u) {
    set_work_u(POOLED + b, count);
  }
}

@compute @workgroup_size(LANES)
fn rows(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group_of(id);
  if (slot >= slots_of(ROWS)) {
    return;
  }
  let chunk = chunk_of(slot, ROWS);
  let b = chunk.sequence;
  for (var k = lane; k < chunk.count * args.H; k += LANES) {
    let i = chunk.start * args.H + k;
    let row = i / args.H;
    if (b == NO_SEQUENCE) {
      set_gradX(i, nan());
    } else if (!is_valid(row) || (args.kind != MEAN && row != work_u(POOLED + b))) {
      set_gradX(i, 0.0);
    } else {
      let grad = in_gradPooled(b * args.H + i % args.H);
      set_gradX(i, select(grad, grad / f32(work_u(POOLED + b)), args.kind == MEAN));
    }
  }
}
