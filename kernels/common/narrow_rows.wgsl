// Rows of few elements, eight to a workgroup: a row of 32 invocations meets at one barrier. narrow_rows.webgpu.ts has the
// same numbers.
const ROW_LANES = 32u;
const ROWS = LANES / ROW_LANES;

var<workgroup> row_parts: array<f32, LANES>;

// The sum over the invocations of a row, for each of them; all of the workgroup must take part, and only once.
fn sum_row(x: f32, lane: u32) -> f32 {
  row_parts[lane] = x;
  workgroupBarrier();
  let first = lane / ROW_LANES * ROW_LANES;
  var sum = 0.0;
  for (var i = first; i < first + ROW_LANES; i++) {
    sum += row_parts[i];
  }
  return sum;
}
