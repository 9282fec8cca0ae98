// See linear.h. `forward` fills tiles of 64 x 64; `narrow` takes calls of at most 16 rows, as in decoding, in tiles of
// 16 x 16, so that more workgroups read the weight. Both add up the same chains in the same order.
// A tile reads 64 rows of x and of weight, so that each is read once per 64 of the other's rows, mostly from cache; with at
// most 16 rows the weight is read once.

fn set_element(row: u32, column: u32, sum: f32) {
  if (row >= args.N || column >= args.O) {
    return;
  }
  var y = sum;
  if (has_bias()) {
    y = sum + in_bias(column);
  }
  set_y(row * args.O + column, y);
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let across = (args.O + TILE - 1u) / TILE;
  let row = group_of(id) / across * TILE;
  let column = group_of(id) % across * TILE;
  if (row >= args.N) {
    return;
  }
  var sums = Sums();
  for (var first = 0u; first < args.I; first += TERMS) {
    workgroupBarrier();
    for (var n = 0u; n < 4u; n++) {
      let at = along_terms(n, lane);
      let term = first + at.x;
      var x = 0.0;
      var w = 0.0;
      if (term < args.I && row + at.y < args.N) {
        x = in_x((row + at.y) * args.I + term);
      }
      if (term < args.I && column + at.y < args.O) {
        w = in_weight((column + at.y) * args.I + term);
      }
      left[at.x * PITCH + at.y] = x;
      right[at.x * PITCH + at.y] = w;
    }
    workgroupBarrier();
    sums = multiply(sums, lane);
  }
  for (var i = 0u; i < 16u; i++) {
    set_element(row + lane / 16u * 4u + i / 4u, column + lane % 16u * 4u + i % 4u, sum_at(sums, i));
  }
}

const NARROW = 16u;
const NARROW_TERMS = 64u;
const NARROW_PITCH = 17u;

@compute @workgroup_size(LANES)
fn narrow(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first_column = group_of(id) * NARROW;
  if (first_column >= args.O) {
    return;
  }
  let row = lane / NARROW;
  let column = lane % NARROW;
  var sum = 0.0;
  for (var first = 0u; first < args.I; first += NARROW_TERMS) {
    workgroupBarrier();
    let term = lane % NARROW_TERMS;
    for (var n = lane / NARROW_TERMS; n < NARROW; n += 4u) {
      if (first + term < args.I && n < args.N) {
        left[term * NARROW_PITCH + n] = in_x(n * args.I + first + term);
      }
      if (first + term < args.I && first_column + n < args.O) {
        right[term * NARROW_PITCH + n] = in_weight((first_column + n) * args.I + first + term);
      }
    }
    workgroupBarrier();
    if (row < args.N) {
      let stop = min(NARROW_TERMS, args.I - first);
      for (var k = 0u; k < stop; k++) {
        sum = fma(left[k * NARROW_PITCH + row], right[k * NARROW_PITCH + column], sum);
      }
    }
  }
  set_element(row, first_column + column, sum);
}
