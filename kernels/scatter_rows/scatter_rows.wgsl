// See scatter_rows.h. `last` notes of every row that is named which position names it last, `write` writes those. 8 B per
// element, the minimum.
var<workgroup> named: array<u32, LANES>;

// As u32 a negative number is a large one; M is no row.
fn row_of(i: u32) -> u32 {
  return min(bitcast<u32>(in_rows(i)), args.M);
}

// One workgroup, 256 positions after another: those that come later overwrite what was noted.
@compute @workgroup_size(LANES)
fn last(@builtin(local_invocation_index) lane: u32) {
  for (var begin = 0u; begin < args.N; begin += LANES) {
    let i = begin + lane;
    var row = args.M;
    if (i < args.N) {
      row = row_of(i);
      if (row == args.M) {
        report(1u, i);
      }
    }
    named[lane] = row;
    workgroupBarrier();
    var is_last = row < args.M;
    for (var later = lane + 1u; later < LANES; later++) {
      is_last = is_last && named[later] != row;
    }
    if (is_last) {
      set_work_u(row, i);
    }
    workgroupBarrier();
    storageBarrier();
  }
}

@compute @workgroup_size(LANES)
fn write(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = tile_of(group_of(id), lane, args.N, args.H);
  for (var i = tile.row; i < tile.stop; i += TILE_STEP) {
    let row = row_of(i);
    if (row < args.M && work_u(row) == i) {
      set_into(row * args.H + tile.column, in_x(i * args.H + tile.column));
    }
  }
}
