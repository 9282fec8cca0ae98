// See rms_norm.h. `partial` and `finish` add up gradWeight in blocks of 64 rows, then block by block; `rows` writes gradX, as
// does `narrow` for eight rows at a time.
// 20 B per element: gradY and x are read by both.
const BLOCK = 64u;

fn pull(row: u32, h: u32) -> f32 {
  return in_gradY(row * args.H + h) * in_weight(h);
}

@compute @workgroup_size(LANES)
fn partial(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let block = group_of(id);
  let stop = min((block + 1u) * BLOCK, args.N);
  for (var h = lane; h < args.H; h += LANES) {
    var sum = Pair(0.0, 0.0);
    for (var row = block * BLOCK; row < stop; row++) {
      let i = row * args.H + h;
      sum = pair_add(sum, Pair(in_gradY(i) * in_x(i) * in_inverseRms(row), 0.0));
    }
    if (block * BLOCK < args.N) {
      set_work(block * args.H + h, value_of(sum));
    }
  }
}

@compute @workgroup_size(LANES)
fn finish(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let h = group_of(id) * LANES + lane;
  if (h >= args.H) {
    return;
  }
  var sum = Pair(0.0, 0.0);
  for (var block = 0u; block * BLOCK < args.N; block++) {
    sum = pair_add(sum, Pair(work(block * args.H + h), 0.0));
  }
  set_gradWeight(h, value_of(sum));
}

@compute @workgroup_size(LANES)
fn rows(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_of(id);
  if (row >= args.N) {
    return;
  }
  var product = 0.0;
  for (var h = lane; h < args.H; h += LANES) {
    product = fma(pull(row, h), in_x(row * args.H + h), product);
  }
  let mean = sum_all(product, lane) / f32(args.H);
  let s = in_inverseRms(row);
  for (var h = lane; h < args.H; h += LANES) {
    let i = row * args.H + h;
    set_gradX(i, s * (pull(row, h) - in_x(i) * s * s * mean));
  }
}

@compute @workgroup_size(LANES)
fn narrow(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_of(id) * ROWS + lane / ROW_LANES;
  let stop = select(0u, args.H, row < args.N);
  var product = 0.0;
  for (var h = lane % ROW_LANES; h < stop; h += ROW_LANES) {
    product = fma(pull(row, h), in_x(row * args.H + h), product);
  }
  let mean = sum_row(product, lane) / f32(args.H);
  let s = in_inverseRms(min(row, args.N - 1u));
  for (var h = lane % ROW_LANES; h < stop; h += ROW_LANES) {
    let i = row * args.H + h;
    set_gradX(i, s * (pull(row, h) - in_x(i) * s * s * mean));
  }
}
