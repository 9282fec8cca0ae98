// See gather_rows.h; the passes and the bytes are those of common/add_rows.wgsl.
fn row_count() -> u32 {
  return args.M;
}
fn row_at(i: u32) -> i32 {
  return in_rows(i);
}
fn put(i: u32, x: f32) {
  set_gradX(i, x);
}
