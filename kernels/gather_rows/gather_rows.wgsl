// See gather_rows.h; the pass is that of common/pick_rows.wgsl. 8 B per element, the minimum.
fn row_count() -> u32 {
  return args.M;
}
fn row_at(i: u32) -> i32 {
  return in_rows(i);
}
fn element(i: u32) -> f32 {
  return in_x(i);
}
