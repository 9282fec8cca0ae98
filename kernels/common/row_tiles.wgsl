// Rows of `width` elements dealt out in tiles of 16 rows by 64 columns: a lane has one column, of every fourth row.
// common/row_plans.ts has the same.
const TILE_ROWS = 16u;
const TILE_COLUMNS = 64u;
const TILE_STEP = LANES / TILE_COLUMNS;

struct Tile {
  column: u32,
  // The lane's first row.
  row: u32,
  // Behind the tile's last row.
  stop: u32,
}
// `stop` is 0 for a lane that has no column.
fn tile_of(group: u32, lane: u32, rows: u32, width: u32) -> Tile {
  let strips = (width + TILE_COLUMNS - 1u) / TILE_COLUMNS;
  let first = group / strips * TILE_ROWS;
  let column = group % strips * TILE_COLUMNS + lane % TILE_COLUMNS;
  return Tile(column, first + lane / TILE_COLUMNS, select(0u, min(first + TILE_ROWS, rows), column < width));
}
