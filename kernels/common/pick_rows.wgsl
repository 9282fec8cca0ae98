// y_i = the row of a table that row_at(i) names. The op's own text says row_count(), row_at(i) (its input 1) and element(i) of
// the table. A row number outside the table is reported and gives a row of NaN.
@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = tile_of(group_of(id), lane, args.N, args.H);
  for (var i = tile.row; i < tile.stop; i += TILE_STEP) {
    // As u32 a negative number is a large one.
    let row = bitcast<u32>(row_at(i));
    var y = nan();
    if (row < row_count()) {
      y = element(row * args.H + tile.column);
    } else if (tile.column == 0u) {
      report(1u, i);
    }
    set_y(i * args.H + tile.column, y);
  }
}
