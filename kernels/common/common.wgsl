// What every kernel may call. Before this text stand the call's own declarations, made from its row of the op table:
//   args.<letter>, args.<option>, args.<derived>   sizes (u32) and settings; numbers also as <name>_low, what f32 leaves over
//   args.given_<option>                            1 if an option without a default was given
//   has_<input>(), wants_<output>()                constants of the call
//   in_<input>(i), out_<output>(i)                 element i: f32 for every floating type, i32, u32 for u8
//   set_<output>(i, x), set_<input>(i, x)          writes it; a gradient is added to what is there where the call says so
//   work(i), set_work(i, x), work_u(i), set_work_u(i, x)   words of scratch as f32 and u32
// A NaN or an infinity never enters a comparison or a minimum: WGSL lets them be anything there. Ask is_nan and is_finite.

const LANES = 256u;

// The number of this workgroup; more than 65,535 come as a grid.
fn group_of(id: vec3<u32>) -> u32 {
  return id.x + id.y * 65535u;
}

fn bits_of(x: f32) -> u32 {
  return bitcast<u32>(x);
}
fn is_nan(x: f32) -> bool {
  return (bits_of(x) & 0x7fffffffu) > 0x7f800000u;
}
fn is_infinite(x: f32) -> bool {
  return (bits_of(x) & 0x7fffffffu) == 0x7f800000u;
}
fn is_finite(x: f32) -> bool {
  return (bits_of(x) & 0x7f800000u) != 0x7f800000u;
}
fn is_negative(x: f32) -> bool {
  return (bits_of(x) >> 31u) == 1u;
}
// Constants that a shader may not spell: their bits come from outside.
fn nan() -> f32 {
  return bitcast<f32>(args.nan);
}
fn infinity() -> f32 {
  return bitcast<f32>(args.nan & 0x7f800000u);
}

// The input `name` (its place in the row) holds a value at `index` that no kernel can use. The first call to say so wins,
// and of its values the one with the lowest index.
fn report(place: u32, index: u32) {
  if (atomicLoad(&fault[0]) == 0u) {
    atomicStore(&fault[1], args.op);
    atomicStore(&fault[0], args.call);
  }
  if (atomicLoad(&fault[0]) == args.call) {
    // The highest complement is the lowest index, and 0 is none.
    atomicMax(&fault[2u + place], 0xffffffffu - index);
  }
}

// A value that the compiler cannot see through, so that what is taken apart below is not put together again.
fn opaque_of(x: f32) -> f32 {
  return bitcast<f32>(bits_of(x) ^ args.zero);
}

// A number as the unevaluated sum of two: about 48 bits (Dekker 1971; Knuth, TAOCP 4.2.2). What is not finite has 0 for its
// second part, so that sums and products of pairs are infinite or NaN where plain ones are.
struct Pair {
  high: f32,
  low: f32,
}
fn two_sum(a: f32, b: f32) -> Pair {
  let s = opaque_of(a + b);
  let part = opaque_of(s - a);
  let rest = opaque_of(a - opaque_of(s - part)) + opaque_of(b - part);
  return Pair(s, select(0.0, rest, is_finite(s)));
}
fn two_difference(a: f32, b: f32) -> Pair {
  return two_sum(a, -b);
}
fn two_product(a: f32, b: f32) -> Pair {
  let p = opaque_of(a * b);
  // 12 leading bits each: their products are exact.
  let ah = bitcast<f32>(bits_of(a) & 0xfffff000u);
  let bh = bitcast<f32>(bits_of(b) & 0xfffff000u);
  let al = a - ah;
  let bl = b - bh;
  let rest = opaque_of(ah * bh) - p;
  return Pair(p, select(0.0, ((rest + opaque_of(ah * bl)) + opaque_of(al * bh)) + al * bl, is_finite(p)));
}
fn pair_add(a: Pair, b: Pair) -> Pair {
  let s = two_sum(a.high, b.high);
  return two_sum(s.high, s.low + (a.low + b.low));
}
fn pair_subtract(a: Pair, b: Pair) -> Pair {
  return pair_add(a, Pair(-b.high, -b.low));
}
fn pair_multiply(a: Pair, b: Pair) -> Pair {
  let p = two_product(a.high, b.high);
  if (!is_finite(p.high)) {
    return p;
  }
  return two_sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}
// One correction of the f32 quotient.
fn pair_divide(a: Pair, b: Pair) -> Pair {
  let q = a.high / b.high;
  if (!is_finite(q) || !is_finite(b.high)) {
    return Pair(q, 0.0);
  }
  let rest = pair_subtract(a, pair_multiply(Pair(q, 0.0), b));
  return two_sum(q, rest.high / b.high);
}
// A count, exactly.
fn pair_of_u(n: u32) -> Pair {
  return two_sum(f32(n & 0xffff0000u), f32(n & 0xffffu));
}
fn pair_size(a: Pair) -> Pair {
  if (is_negative(a.high)) {
    return Pair(-a.high, -a.low);
  }
  return a;
}
// Is a > b? Not where either is a NaN.
fn pair_above(a: Pair, b: Pair) -> bool {
  let apart = bits_of(pair_subtract(a, b).high);
  return apart > 0u && apart <= 0x7f800000u;
}
// Adds x to a running sum: cheaper than pair_add, for sums of a few terms.
fn sum_add(sum: Pair, x: f32) -> Pair {
  let s = two_sum(sum.high, x);
  return Pair(s.high, sum.low + s.low);
}
fn sum_add_pair(sum: Pair, x: Pair) -> Pair {
  let s = two_sum(sum.high, x.high);
  return Pair(s.high, sum.low + (s.low + x.low));
}
// The root of what is not negative, corrected once.
fn pair_root(a: Pair) -> Pair {
  let r = sqrt(a.high);
  if (!is_finite(r) || r == 0.0) {
    return Pair(r, 0.0);
  }
  return two_sum(r, value_of(pair_subtract(a, two_product(r, r))) / (2.0 * r));
}
// Rounded to f32. What is not finite has no second part worth looking at.
fn value_of(a: Pair) -> f32 {
  return select(a.high, a.high + a.low, is_finite(a.high));
}

fn is_zero(x: f32) -> bool {
  return (bits_of(x) & 0x7fffffffu) == 0u;
}
// factor * x, but a factor of 0 removes an infinite x.
fn scaled(factor: f32, x: f32) -> f32 {
  return select(factor * x, 0.0, is_zero(factor) && !is_nan(x));
}

// 2^n for a whole n in [-252, 254], in two factors because one exponent does not reach that far.
fn scale_by_power(x: f32, n: i32) -> f32 {
  let first = n / 2;
  let second = n - first;
  return x * bitcast<f32>(u32(first + 127) << 23u) * bitcast<f32>(u32(second + 127) << 23u);
}

fn pair_scale(a: Pair, n: i32) -> Pair {
  return Pair(scale_by_power(a.high, n), scale_by_power(a.low, n));
}

// (e^r - 1 - r) / r^2 on |r| <= 0.35, the polynomial of math.h.
fn exp_tail(r: f32) -> f32 {
  var q = 0x1.6a234ep-10f;
  q = fma(q, r, 0x1.123a6cp-7f);
  q = fma(q, r, 0x1.5558f4p-5f);
  q = fma(q, r, 0x1.555490p-3f);
  return fma(q, r, 0x1.fffffcp-2f);
}

// e^x within about 1 ULP, whatever the platform's own exp does; NaN, and infinities on either side, as they should be.
fn exp_of(x: f32) -> f32 {
  if (!is_finite(x)) {
    return select(x, 0.0, bits_of(x) == 0xff800000u);
  }
  if (x > 88.75) {
    return infinity();
  }
  let bound = max(x, -120.0);
  let n = round(bound * 1.44269504);
  var r = fma(-n, 0.693145751953125, bound);
  r = fma(-n, 1.42860682030941723e-6, r);
  return scale_by_power(fma(r * r, exp_tail(r), r) + 1.0, i32(n));
}

// e^x - 1 without cancellation.
fn expm1_of(x: f32) -> f32 {
  if (!is_finite(x) || abs(x) > 0.34) {
    return exp_of(x) - 1.0;
  }
  return fma(x * x, exp_tail(x), x);
}

// 2 atanh(s) for |s| <= 0.18.
fn twice_atanh(s: f32) -> f32 {
  let z = s * s;
  var q = 2.0 / 11.0;
  q = fma(q, z, 2.0 / 9.0);
  q = fma(q, z, 2.0 / 7.0);
  q = fma(q, z, 2.0 / 5.0);
  q = fma(q, z, 2.0 / 3.0);
  return fma(q * z, s, s + s);
}

// log(x) of positive normal numbers; 0 gives -inf, negative and NaN give NaN.
fn log_of(x: f32) -> f32 {
  let bits = bits_of(x);
  if (is_nan(x) || (is_negative(x) && bits != 0x80000000u)) {
    return nan();
  }
  if ((bits & 0x7f800000u) == 0u) {
    return -infinity();
  }
  if (bits == 0x7f800000u) {
    return x;
  }
  var e = f32(i32(bits >> 23u) - 127);
  var m = bitcast<f32>((bits & 0x007fffffu) | 0x3f800000u);
  if (m > 1.41421356) {
    m = m * 0.5;
    e = e + 1.0;
  }
  return fma(e, 0.693145751953125, fma(e, 1.42860682030941723e-6, twice_atanh((m - 1.0) / (m + 1.0))));
}

// log(1 + x), x > -1, without cancellation.
fn log1p_of(x: f32) -> f32 {
  if (!is_finite(x)) {
    return log_of(x);
  }
  if (abs(x) < 0.3) {
    return twice_atanh(x / (x + 2.0));
  }
  let y = two_sum(1.0, x);
  return log_of(y.high) + y.low / y.high;
}

// log(1 + e) for e in [0, 1], by one series: around 1 for small e, around 2 for large.
fn log1p_unit(e: f32) -> f32 {
  if (e > 0.41421356) {
    return twice_atanh((e - 1.0) / (e + 3.0)) + 0.693147181;
  }
  return twice_atanh(e / (e + 2.0));
}

// s(x), s(-x) and their logarithms from one exponential that cannot overflow. x: a Pair, so that log s(x) = x for large -x
// keeps what x had.
struct Logistic {
  up: f32,
  down: f32,
  log_up: f32,
  log_down: f32,
}
fn logistic(x: Pair) -> Logistic {
  if (is_nan(x.high)) {
    return Logistic(x.high, x.high, x.high, x.high);
  }
  let negative = is_negative(x.high);
  let low = select(0.0, select(x.low, -x.low, !negative), is_finite(x.high));
  let e = exp_of(-abs(x.high)) * (1.0 + low);
  let near = 1.0 / (1.0 + e);
  let far = e * near;
  let tail = log1p_unit(e);
  let size = value_of(x);
  if (negative) {
    return Logistic(far, near, size - tail, -tail);
  }
  return Logistic(near, far, -tail, -size - tail);
}

// bf16 is the upper half of an f32.
fn bf16_to_f32(half: u32) -> f32 {
  return bitcast<f32>(half << 16u);
}
// To nearest, ties to even; a NaN stays one.
fn f32_to_bf16(x: f32) -> u32 {
  let bits = bits_of(x);
  if (is_nan(x)) {
    return (bits >> 16u) | 0x40u;
  }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
fn f16_to_f32(half: u32) -> f32 {
  let sign = (half & 0x8000u) << 16u;
  let exponent = (half >> 10u) & 31u;
  let fraction = half & 1023u;
  if (exponent == 31u) {
    return bitcast<f32>(sign | 0x7f800000u | (fraction << 13u));
  }
  if (exponent == 0u) {
    let size = f32(fraction) * 0x1p-24f;
    return bitcast<f32>(sign | bits_of(size));
  }
  return bitcast<f32>(sign | ((exponent + 112u) << 23u) | (fraction << 13u));
}
// To nearest, ties to even, through the subnormals; above the largest, infinity.
fn f32_to_f16(x: f32) -> u32 {
  let bits = bits_of(x);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) {
    return sign | 0x7e00u;
  }
  if (size >= 0x477ff000u) {
    return sign | 0x7c00u;
  }
  if (size >= 0x38800000u) {
    return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u);
  }
  if (size < 0x33000000u) {
    return sign;
  }
  // The fraction with its hidden bit, shifted into units of 2^-24.
  let shift = 126u - (size >> 23u);
  let full = (size & 0x7fffffu) | 0x800000u;
  let floor_part = full >> shift;
  let rest = full & ((1u << shift) - 1u);
  let half = 1u << (shift - 1u);
  let up = rest > half || (rest == half && (floor_part & 1u) == 1u);
  return sign | (floor_part + select(0u, 1u, up));
}
