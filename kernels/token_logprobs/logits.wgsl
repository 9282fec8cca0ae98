// What both directions share (logits.cpu.h): logits as x, and e^(x - largest), four at a time.

// The lowest and the highest f32. They also stand for what may not enter float arithmetic.
const LOWEST = -0x1.fffffep+127f;
const HIGHEST = 0x1.fffffep+127f;
// The bits of 126 ln(1/2). Those of lower numbers, of -inf too, are larger: e^gap is less than the smallest normal number.
const FAR = 0xc2aeac50u;

struct Transform {
  factor: f32,
  inner: f32,
  height: f32,
  inverse_height: f32,
}
fn transform_of() -> Transform {
  let scale = Pair(args.logitScale, args.logitScale_low);
  let inverse_temperature = Pair(args.inverseTemperature, args.inverseTemperature_low);
  let factor = value_of(pair_multiply(scale, inverse_temperature));
  if (args.softcap > 0.0) {
    let cap = Pair(args.softcap, args.softcap_low);
    let height = pair_multiply(cap, inverse_temperature);
    let inverse_height = value_of(pair_divide(Pair(1.0, 0.0), height));
    return Transform(factor, value_of(pair_divide(scale, cap)), value_of(height), inverse_height);
  }
  return Transform(factor, 0.0, 0.0, 0.0);
}

// e^gap on [126 ln(1/2), 0]: exp of math.h.
fn exp_near(gap: vec4<f32>) -> vec4<f32> {
  let n = round(gap * 1.44269504);
  var r = fma(-n, vec4<f32>(0.693145751953125), gap);
  r = fma(-n, vec4<f32>(1.42860682030941723e-6), r);
  var q = fma(vec4<f32>(0x1.6a234ep-10f), r, vec4<f32>(0x1.123a6cp-7f));
  q = fma(q, r, vec4<f32>(0x1.5558f4p-5f));
  q = fma(q, r, vec4<f32>(0x1.555490p-3f));
  q = fma(q, r, vec4<f32>(0x1.fffffcp-2f));
  let power = bitcast<vec4<f32>>((vec4<i32>(n) + 127) << vec4<u32>(23u));
  return (fma(r * r, q, r) + 1.0) * power;
}

// Gaps with 0 for those whose exponential is 0, so that their product is 0 too.
struct Gaps {
  gap: vec4<f32>,
  e: vec4<f32>,
}
fn gaps_of(gap: vec4<f32>) -> Gaps {
  let far = bitcast<vec4<u32>>(gap) > vec4<u32>(FAR);
  let near = select(gap, vec4<f32>(), far);
  return Gaps(near, select(exp_near(near), vec4<f32>(), far));
}

// tanh of math.h: an odd polynomial below 0.8, 1 - 2 e / (1 + e) with e = e^-2|x| above it.
fn tanh_of(x: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>(x);
  let u = x * x;
  var p = fma(vec4<f32>(-0x1.2aa83cp-11f), u, vec4<f32>(0x1.754130p-9f));
  p = fma(p, u, vec4<f32>(-0x1.16b03ep-7f));
  p = fma(p, u, vec4<f32>(0x1.64b06ep-6f));
  p = fma(p, u, vec4<f32>(-0x1.b9fc56p-5f));
  p = fma(p, u, vec4<f32>(0x1.111080p-3f));
  p = fma(p, u, vec4<f32>(-0x1.555554p-2f));
  let e = gaps_of(-2.0 * abs(x)).e;
  let far = bitcast<vec4<u32>>(1.0 - (e + e) / (1.0 + e)) | (bits & vec4<u32>(0x80000000u));
  let small = (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x3f4ccccdu);
  return select(bitcast<vec4<f32>>(far), fma(p * u, x, x), small);
}

// Opaque, because a product that melts into the difference from the largest would no longer equal the largest.
fn transformed(t: Transform, logits: vec4<f32>) -> vec4<f32> {
  var x = logits * t.factor;
  if (args.softcap > 0.0) {
    let nan = (bitcast<vec4<u32>>(logits) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    x = select(t.height * tanh_of(logits * t.inner), logits, nan);
  }
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(args.zero));
}
