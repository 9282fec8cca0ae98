// Whole numbers of 64 bits as two words, the lower one first, and Philox4x32-10 of philox.h.

fn add_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < b.x));
}
fn subtract_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}
fn is_less_u64(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.y < b.y || (a.y == b.y && a.x < b.x);
}

// a * b by halves.
fn multiply_u32(a: u32, b: u32) -> vec2<u32> {
  let al = a & 0xffffu;
  let ah = a >> 16u;
  let bl = b & 0xffffu;
  let bh = b >> 16u;
  let low = al * bl;
  let middle = ah * bl + (low >> 16u);
  let other = al * bh + (middle & 0xffffu);
  return vec2<u32>((other << 16u) | (low & 0xffffu), ah * bh + (middle >> 16u) + (other >> 16u));
}

// All 128 bits of a * b.
fn multiply_u64(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
  let low = multiply_u32(a.x, b.x);
  let cross = add_u64(multiply_u32(a.x, b.y), vec2<u32>(low.y, 0u));
  let other = add_u64(multiply_u32(a.y, b.x), vec2<u32>(cross.x, 0u));
  let high = add_u64(add_u64(multiply_u32(a.y, b.y), vec2<u32>(cross.y, 0u)), vec2<u32>(other.y, 0u));
  return vec4<u32>(low.x, other.x, high);
}

// 64 random bits: the key is the seed, the counter is (counter, stream, 0).
fn philox(seed: vec2<u32>, counter: vec2<u32>, stream: u32) -> vec2<u32> {
  var key = seed;
  var c = vec4<u32>(counter, stream, 0u);
  for (var round = 0u; round < 10u; round++) {
    let first = multiply_u32(0xd2511f53u, c.x);
    let second = multiply_u32(0xcd9e8d57u, c.z);
    c = vec4<u32>(second.y ^ c.y ^ key.x, second.x, first.y ^ c.w ^ key.y, first.x);
    key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c.xy;
}
