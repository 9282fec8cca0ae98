// Matrix products in tiles of 64 x 64, 4 x 4 sums per invocation and 16 terms at a time in workgroup memory. Each sum is one
// chain of fused multiply-adds over the terms 0, 1, 2, ... from 0, whatever the tile: a row has the same bits in any batch.
// Terms beyond the last are zeros on both sides. 8.5 KiB of workgroup memory.
const TILE = 64u;
const TERMS = 16u;
// From one term to the next; a multiple of 4 that spreads what is written over the banks.
const PITCH = 68u;

// What of an operand is in workgroup memory: [term * PITCH + row], and columns alike.
var<workgroup> left: array<f32, TERMS * PITCH>;
var<workgroup> right: array<f32, TERMS * PITCH>;

// Four rows of four columns.
struct Sums {
  a: vec4<f32>,
  b: vec4<f32>,
  c: vec4<f32>,
  d: vec4<f32>,
}

// Where an invocation's n-th element (n < 4) of a tile's operand lies: x the term, y the row. Neighbours read neighbours.
fn along_terms(n: u32, lane: u32) -> vec2<u32> {
  return vec2<u32>(lane % TERMS, lane / TERMS + n * TERMS);
}
fn along_rows(n: u32, lane: u32) -> vec2<u32> {
  return vec2<u32>(lane / TILE + n * 4u, lane % TILE);
}

// Takes up the 16 terms that lie in workgroup memory.
fn multiply(sums: Sums, lane: u32) -> Sums {
  var next = sums;
  let row = lane / 16u * 4u;
  let column = lane % 16u * 4u;
  for (var term = 0u; term < TERMS; term++) {
    let l = term * PITCH + row;
    let r = term * PITCH + column;
    let x = vec4<f32>(right[r], right[r + 1u], right[r + 2u], right[r + 3u]);
    next.a = fma(vec4<f32>(left[l]), x, next.a);
    next.b = fma(vec4<f32>(left[l + 1u]), x, next.b);
    next.c = fma(vec4<f32>(left[l + 2u]), x, next.c);
    next.d = fma(vec4<f32>(left[l + 3u]), x, next.d);
  }
  return next;
}

// The sum of row i / 4 and column i % 4.
fn sum_at(sums: Sums, i: u32) -> f32 {
  let low = select(sums.a, sums.b, (i & 4u) != 0u);
  let high = select(sums.c, sums.d, (i & 4u) != 0u);
  return select(low, high, (i & 8u) != 0u)[i & 3u];
}
