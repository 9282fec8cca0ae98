// See embedding.h; the pass is that of common/pick_rows.wgsl. 8 B per element, the minimum.
fn row_count() -> u32 {
  return args.V;
}
fn row_at(i: u32) -> i32 {
  return in_ids(i);
}
fn element(i: u32) -> f32 {
  return in_table(i);
}
