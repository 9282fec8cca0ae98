// See rms_norm.h. A workgroup for each row, or in `narrow` for eight; 8 B per element, the second read of x from cache.
@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_of(id);
  if (row >= args.N) {
    return;
  }
  var squares = 0.0;
  for (var h = lane; h < args.H; h += LANES) {
    let x = in_x(row * args.H + h);
    squares = fma(x, x, squares);
  }
  let mean = sum_all(squares, lane) / f32(args.H);
  let s = 1.0 / sqrt(mean + args.epsilon);
  for (var h = lane; h < args.H; h += LANES) {
    set_y(row * args.H + h, in_x(row * args.H + h) * s * in_weight(h));
  }
  if (lane == 0u) {
    set_inverseRms(row, s);
  }
}

@compute @workgroup_size(LANES)
fn narrow(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_of(id) * ROWS + lane / ROW_LANES;
  let stop = select(0u, args.H, row < args.N);
  var squares = 0.0;
  for (var h = lane % ROW_LANES; h < stop; h += ROW_LANES) {
    let x = in_x(row * args.H + h);
    squares = fma(x, x, squares);
  }
  let s = 1.0 / sqrt(sum_row(squares, lane) / f32(args.H) + args.epsilon);
  for (var h = lane % ROW_LANES; h < stop; h += ROW_LANES) {
    set_y(row * args.H + h, in_x(row * args.H + h) * s * in_weight(h));
  }
  if (row < args.N && lane % ROW_LANES == 0u) {
    set_inverseRms(row, s);
  }
}
