// Rotary positions (Su et al. 2021, arXiv:2104.09864, eq. 34), halves layout: the pair (i, i + half) of a head turns by
// position * base^(-i / half). Frequencies are turns per position in units of 2^-64: whole turns fall off the top of an integer
// product, so that an angle is as exact at position 2^24 as at 1. The op's own text says half_size(), and from which word of
// the scratch on `frequencies` leaves them, two words each: const FREQUENCIES = 0u.

// a / b, with two corrections of a quotient that platforms round as they like.
fn pair_over(a: Pair, b: f32) -> Pair {
  let q = a.high / b;
  let rest = pair_subtract(a, two_product(q, b));
  let more = rest.high / b;
  return pair_add(two_sum(q, more), Pair(pair_subtract(rest, two_product(more, b)).high / b, 0.0));
}

// e^x within about 2^-46, x <= 88: whole powers of two, and the Taylor series to r^14 / 14! on |r| <= 0.35.
fn pair_exp(x: Pair) -> Pair {
  let n = round(x.high * 1.44269504);
  let r = pair_add(pair_add(x, two_product(-n, 0x1.62e43p-1f)), Pair(n * 0x1.05c61p-29f, 0.0));
  var sum = Pair(1.0, 0.0);
  for (var k = 14u; k > 0u; k--) {
    sum = pair_add(Pair(1.0, 0.0), pair_over(pair_multiply(r, sum), f32(k)));
  }
  return Pair(scale_by_power(sum.high, i32(n)), scale_by_power(sum.low, i32(n)));
}

// The logarithm of the base: rounded to f32, and what e to minus that leaves over.
fn log_of_base() -> Pair {
  let near = log_of(args.base);
  let whole = pair_multiply(Pair(args.base, args.base_low), pair_exp(Pair(-near, 0.0)));
  let rest = pair_subtract(whole, Pair(1.0, 0.0));
  return pair_add(Pair(near, 0.0), pair_subtract(rest, Pair(0.5 * rest.high * rest.high, 0.0)));
}

// 0 <= x < 1 in units of 2^-64: low and high word.
fn fraction_of(x: f32) -> vec2<u32> {
  let scaled = x * 0x1p32f;
  let high = u32(scaled);
  return vec2<u32>(u32((scaled - f32(high)) * 0x1p32f), high);
}

@compute @workgroup_size(LANES)
fn frequencies(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_of(id) * LANES + lane;
  let half = half_size();
  if (i >= half) {
    return;
  }
  let exponent = pair_over(pair_multiply(log_of_base(), Pair(-f32(i), 0.0)), f32(half));
  let turns = pair_multiply(pair_exp(exponent), Pair(0x1.45f306p-3f, 0x1.b93910p-28f));
  let a = fraction_of(turns.high);
  let b = fraction_of(abs(turns.low));
  let more = a + b;
  let less = a - b;
  let up = more + vec2<u32>(0u, select(0u, 1u, more.x < a.x));
  let down = less - vec2<u32>(0u, select(0u, 1u, a.x < b.x));
  let turn = select(up, down, is_negative(turns.low));
  set_work_u(FREQUENCIES + 2u * i, turn.x);
  set_work_u(FREQUENCIES + 2u * i + 1u, turn.y);
}

// The upper word of a product.
fn upper_product(a: u32, b: u32) -> u32 {
  let al = a & 0xffffu;
  let ah = a >> 16u;
  let bl = b & 0xffffu;
  let bh = b >> 16u;
  let middle = ah * bl + ((al * bl) >> 16u);
  let other = al * bh + (middle & 0xffffu);
  return ah * bh + (middle >> 16u) + (other >> 16u);
}

// Cosine and sine of pair i at a position, within about 2 ULP of 1: the nearest quarter turn and Taylor series on the rest.
fn angle_of(i: u32, position: i32) -> vec2<f32> {
  if (!is_finite(args.base) || args.base > 1e37) {
    return vec2<f32>(nan());
  }
  let steps = u32(abs(position));
  let low = work_u(FREQUENCIES + 2u * i);
  let high = work_u(FREQUENCIES + 2u * i + 1u) * steps + upper_product(low, steps);
  let quarter = (high + 0x20000000u) >> 30u;
  let rest = f32(bitcast<i32>(high - (quarter << 30u))) * 0x1p-32f + f32(low * steps) * 0x1p-64f;
  let x = rest * 6.28318531;
  let z = x * x;
  var s = fma(z, 2.75573192e-6, -1.98412698e-4);
  s = fma(s, z, 8.33333333e-3);
  s = fma(s, z, -0.166666667);
  s = fma(s * z, x, x);
  var c = fma(z, -2.75573192e-7, 2.48015873e-5);
  c = fma(c, z, -1.38888889e-3);
  c = fma(c, z, 4.16666667e-2);
  c = fma(c, z, -0.5);
  c = fma(c, z, 1.0);
  let odd = (quarter & 1u) == 1u;
  let cosine = select(c, s, odd);
  let sine = select(s, c, odd);
  return vec2<f32>(
    select(cosine, -cosine, quarter == 1u || quarter == 2u),
    select(sine, -sine, (quarter >= 2u) != (position < 0)),
  );
}

// A pair turned forward; back with the angle's sine negated. Opaque products, so that every kernel rounds alike.
fn turned(pair: vec2<f32>, angle: vec2<f32>) -> vec2<f32> {
  return vec2<f32>(
    fma(-pair.y, angle.y, opaque_of(pair.x * angle.x)),
    fma(pair.x, angle.y, opaque_of(pair.y * angle.x)),
  );
}
fn turned_back(pair: vec2<f32>, angle: vec2<f32>) -> vec2<f32> {
  return turned(pair, vec2<f32>(angle.x, -angle.y));
}
