// See grad_norm.h. `partials`: at most 1024 workgroups, each over every so many blocks of 4096; `finish` adds them up in one.
// 4 B per gradient, read once.
//
// Squares neither overflow nor vanish, as they would not in f64: every invocation counts in a unit of its own, a power of two
// near its largest gradient so far.
const BLOCK = 4096u;
const MOST_GROUPS = 1024u;
const PARTIAL_WORDS = 3u;  // the largest size of a gradient as bits, and the sum of squares in that unit

// A sum of squares, in units whose biased exponent is `unit`.
struct Squares {
  unit: u32,
  sum: Pair,
}

fn partial_count() -> u32 {
  return min((args.P + BLOCK - 1u) / BLOCK, MOST_GROUPS);
}

// 253 is the largest whose inverse is a normal number.
fn unit_for(size: u32) -> u32 {
  return min(size >> 23u, 253u);
}

fn change_unit(s: Squares, unit: u32) -> Squares {
  return Squares(unit, pair_scale(s.sum, max(2 * (i32(s.unit) - i32(unit)), -252)));
}

@compute @workgroup_size(LANES)
fn partials(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(id);
  if (group >= partial_count()) {
    return;
  }
  var own = Squares(0u, Pair(0.0, 0.0));
  var own_size = 0u;
  for (var first = group * BLOCK; first < args.P; first += partial_count() * BLOCK) {
    for (var i = first + lane; i < min(first + BLOCK, args.P); i += LANES) {
      let g = in_grad(i);
      let size = bits_of(g) & 0x7fffffffu;
      own_size = max(own_size, size);
      // Up to 2^16 units square well within f32: the unit seldom changes.
      if ((size >> 23u) > own.unit + 15u) {
        own = change_unit(own, unit_for(size));
      }
      let u = g * bitcast<f32>((254u - own.unit) << 23u);
      own.sum = sum_add(own.sum, u * u);
    }
  }
  let size = max_all_u(own_size, lane);
  let sum = sum_pair_all(change_unit(own, unit_for(size)).sum, lane);
  if (lane == 0u) {
    let at = group * PARTIAL_WORDS;
    set_work_u(at, size);
    set_work(at + 1u, sum.high);
    set_work(at + 2u, sum.low);
  }
}

@compute @workgroup_size(LANES)
fn finish(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (group_of(id) > 0u) {
    return;
  }
  var own_size = 0u;
  for (var k = lane; k < partial_count(); k += LANES) {
    own_size = max(own_size, work_u(k * PARTIAL_WORDS));
  }
  let size = max_all_u(own_size, lane);
  let unit = unit_for(size);
  var own = Pair(0.0, 0.0);
  for (var k = lane; k < partial_count(); k += LANES) {
    let at = k * PARTIAL_WORDS;
    let part = Squares(unit_for(work_u(at)), Pair(work(at + 1u), work(at + 2u)));
    own = pair_add(own, change_unit(part, unit).sum);
  }
  let root = value_of(pair_root(sum_pair_all(own, lane)));
  if (lane == 0u) {
    let power = i32(unit) - 127;
    let beyond = i32(bits_of(root) >> 23u) - 127 + power >= 128;
    if (size >= 0x7f800000u || beyond) {
      set_norm(0u, select(infinity(), nan(), size > 0x7f800000u));
    } else {
      set_norm(0u, scale_by_power(root, power));
    }
  }
}
