// See linear_backward.h. `gradX` and `gradWeight` fill tiles of 64 x 64. A gradWeight of few tiles and many rows is made in
// parts of rows that `addParts` adds up in order. `biasParts` and `addBias` add up gradBias in blocks of 64 rows.
// A tile reads 64 rows or columns of either operand for each term: gradY is read once per 64 columns of x, and so on, mostly
// from cache; for gradBias 4 B per element of gradY.

fn grad_y(row: u32, o: u32) -> f32 {
  if (row >= args.N || o >= args.O) {
    return 0.0;
  }
  return in_gradY(row * args.O + o);
}

@compute @workgroup_size(LANES)
fn gradX(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let across = (args.I + TILE - 1u) / TILE;
  let row = group_of(id) / across * TILE;
  let column = group_of(id) % across * TILE;
  if (row >= args.N) {
    return;
  }
  var sums = Sums();
  for (var first = 0u; first < args.O; first += TERMS) {
    workgroupBarrier();
    for (var n = 0u; n < 4u; n++) {
      let l = along_terms(n, lane);
      left[l.x * PITCH + l.y] = grad_y(row + l.y, first + l.x);
      let r = along_rows(n, lane);
      var w = 0.0;
      if (first + r.x < args.O && column + r.y < args.I) {
        w = in_weight((first + r.x) * args.I + column + r.y);
      }
      right[r.x * PITCH + r.y] = w;
    }
    workgroupBarrier();
    sums = multiply(sums, lane);
  }
  for (var i = 0u; i < 16u; i++) {
    let y = row + lane / 16u * 4u + i / 4u;
    let x = column + lane % 16u * 4u + i % 4u;
    if (y < args.N && x < args.I) {
      set_gradX(y * args.I + x, sum_at(sums, i));
    }
  }
}

// Tiles below which the rows are divided, and rows of a part: at least 1024, and at most 32 parts. The plan has the same.
const FEW_TILES = 128u;

fn tiles_across() -> u32 {
  return (args.I + TILE - 1u) / TILE;
}
fn tiles_of_weight() -> u32 {
  return (args.O + TILE - 1u) / TILE * tiles_across();
}
fn rows_of_part() -> u32 {
  if (tiles_of_weight() >= FEW_TILES) {
    return max(args.N, 1u);
  }
  return max(1024u, (args.N + 511u) / 512u * 16u);
}
fn parts_of_weight() -> u32 {
  return max(1u, (args.N + rows_of_part() - 1u) / rows_of_part());
}

@compute @workgroup_size(LANES)
fn gradWeight(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let part = group_of(id) / tiles_of_weight();
  let tile = group_of(id) % tiles_of_weight();
  let parts = parts_of_weight();
  if (part >= parts) {
    return;
  }
  let row = tile / tiles_across() * TILE;
  let column = tile % tiles_across() * TILE;
  let stop = min(args.N, (part + 1u) * rows_of_part());
  var sums = Sums();
  for (var first = part * rows_of_part(); first < stop; first += TERMS) {
    workgroupBarrier();
    for (var n = 0u; n < 4u; n++) {
      let at = along_rows(n, lane);
      let term = first + at.x;
      var x = 0.0;
      if (term < args.N && column + at.y < args.I) {
        x = in_x(term * args.I + column + at.y);
      }
      left[at.x * PITCH + at.y] = grad_y(term, row + at.y);
      right[at.x * PITCH + at.y] = x;
    }
    workgroupBarrier();
    sums = multiply(sums, lane);
  }
  for (var i = 0u; i < 16u; i++) {
    let y = row + lane / 16u * 4u + i / 4u;
    let x = column + lane % 16u * 4u + i % 4u;
    if (y < args.O && x < args.I) {
      if (parts == 1u) {
        set_gradWeight(y * args.I + x, sum_at(sums, i));
      } else {
        set_work((part * args.O + y) * args.I + x, sum_at(sums, i));
      }
    }
  }
}

@compute @workgroup_size(LANES)
fn addParts(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let at = group_of(id) * LANES + lane;
  let size = args.O * args.I;
  if (at >= size) {
    return;
  }
  var sum = 0.0;
  for (var part = 0u; part < parts_of_weight(); part++) {
    sum += work(part * size + at);
  }
  set_gradWeight(at, sum);
}

const BIAS_ROWS = 64u;

@compute @workgroup_size(LANES)
fn biasParts(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let across = (args.O + LANES - 1u) / LANES;
  let block = group_of(id) / across;
  let o = group_of(id) % across * LANES + lane;
  if (block * BIAS_ROWS >= args.N || o >= args.O) {
    return;
  }
  var sum = Pair(0.0, 0.0);
  for (var row = block * BIAS_ROWS; row < min(args.N, (block + 1u) * BIAS_ROWS); row++) {
    sum = pair_add(sum, Pair(in_gradY(row * args.O + o), 0.0));
  }
  set_work(2u * (block * args.O + o), sum.high);
  set_work(2u * (block * args.O + o) + 1u, sum.low);
}

@compute @workgroup_size(LANES)
fn addBias(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let o = group_of(id) * LANES + lane;
  if (o >= args.O) {
    return;
  }
  var sum = Pair(0.0, 0.0);
  for (var block = 0u; block * BIAS_ROWS < args.N; block++) {
    let at = 2u * (block * args.O + o);
    sum = pair_add(sum, Pair(work(at), work(at + 1u)));
  }
  set_gradBias(o, value_of(sum));
}
