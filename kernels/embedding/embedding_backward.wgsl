// See embedding.h; the passes and the bytes are those of common/add_rows.wgsl.
fn row_count() -> u32 {
  return args.V;
}
fn row_at(i: u32) -> i32 {
  return in_ids(i);
}
fn put(i: u32, x: f32) {
  set_gradTable(i, x);
}
