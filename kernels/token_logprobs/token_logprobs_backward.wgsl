// See token_logprobs.h. `prepare` makes of each row what its entries have in common; `entries` writes them word by word, up
// to BLOCK words of a row to a workgroup. Each logit is read and each entry written once, in their element type: the minimum.

// token_logprobs.webgpu.ts has the same.
const BLOCK = 4096u;
const ROW_WORDS = 6u;

// All entries are `base`.
const CONSTANT = 0u;
// Those of +inf are `base`, the others 0.
const CERTAIN = 1u;
// They are (base + slant (x_j - largest)) e^(x_j - largest), times the softcap's slope.
const ORDINARY = 2u;

struct RowGradient {
  kind: u32,
  // Index of the token's own entry, and that entry.
  own_at: u32,
  own: f32,
  largest: f32,
  base: f32,
  slant: f32,
}

fn constant_row(value: f32) -> RowGradient {
  return RowGradient(CONSTANT, 0xffffffffu, value, 0.0, value, 0.0);
}

// 1 - tanh^2: dx/dlogit is that times a constant.
fn slope(t: Transform, x: vec4<f32>) -> vec4<f32> {
  let tanh = x * t.inverse_height;
  return fma(-tanh, tanh, vec4<f32>(1.0));
}

fn row_gradient(row: u32) -> RowGradient {
  let token = in_tokens(row);
  let spreads = has_gradEntropy() && !is_zero(in_gradEntropy(row));
  if (token == args.ignoreIndex || (is_zero(in_gradLogprob(row)) && !spreads)) {
    return constant_row(0.0);
  }
  if (token < 0 || token >= i32(args.V)) {
    report(1u, row);
    return constant_row(nan());
  }
  let largest = in_rowMax(row);
  if (is_nan(largest)) {
    return constant_row(nan());
  }
  let t = transform_of();
  let own_at = row * args.V + u32(token);
  let g = in_gradLogprob(row) * t.factor;
  let log_p = in_logprob(row);
  let log_sum = in_logSum(row);
  let share = exp_of(-log_sum);
  let p = exp_of(log_p);
  var base = -share * g;
  var slant = 0.0;
  var own = -g * expm1_of(log_p);
  if (spreads) {
    let h = in_gradEntropy(row) * t.factor;
    let entropy = in_entropy(row);
    base = -share * (g + h * (entropy - log_sum));
    slant = -share * h;
    if (p != 0.0) {
      own -= h * p * (log_p + entropy);
    }
  }
  if (args.softcap > 0.0) {
    own *= slope(t, transformed(t, vec4<f32>(in_logits(own_at)))).x;
  }
  if (is_infinite(largest)) {
    return RowGradient(CERTAIN, own_at, own, largest, -g, 0.0);
  }
  return RowGradient(ORDINARY, own_at, own, largest, base, slant);
}

@compute @workgroup_size(LANES)
fn prepare(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_of(id) * LANES + lane;
  if (row >= args.N) {
    return;
  }
  let r = row_gradient(row);
  let at = row * ROW_WORDS;
  set_work_u(at, r.kind);
  set_work_u(at + 1u, r.own_at);
  set_work(at + 2u, r.own);
  set_work(at + 3u, r.largest);
  set_work(at + 4u, r.base);
  set_work(at + 5u, r.slant);
}

fn prepared(row: u32) -> RowGradient {
  let at = row * ROW_WORDS;
  return RowGradient(work_u(at), work_u(at + 1u), work(at + 2u), work(at + 3u), work(at + 4u), work(at + 5u));
}

// The entries i of a row; those outside the tensor are anything.
fn entries_of(r: RowGradient, t: Transform, i: vec4<i32>) -> vec4<f32> {
  if (r.kind == CONSTANT) {
    return vec4<f32>(r.base);
  }
  let at = vec4<u32>(clamp(i, vec4<i32>(), vec4<i32>(i32(args.N * args.V) - 1)));
  let x = transformed(t, vec4<f32>(in_logits(at.x), in_logits(at.y), in_logits(at.z), in_logits(at.w)));
  var y = select(vec4<f32>(), vec4<f32>(r.base), bitcast<vec4<u32>>(x) == vec4<u32>(0x7f800000u));
  if (r.kind == ORDINARY) {
    let gaps = gaps_of(x - r.largest);
    y = gaps.e * fma(gaps.gap, vec4<f32>(r.slant), vec4<f32>(r.base));
    if (args.softcap > 0.0) {
      y *= slope(t, x);
    }
  }
  return select(y, vec4<f32>(r.own), at == vec4<u32>(r.own_at));
}

// The first word whose first element belongs to this row or a later one. What stands before element 0 is word 0 of row 0.
fn first_word(row: u32) -> u32 {
  let before = u32(-first_of_word_gradLogits(0u));
  return select((row * args.V + before + gradLogits_per_word - 1u) / gradLogits_per_word, 0u, row == 0u);
}

fn write_word(word: u32, first: i32, x: vec2<f32>) {
  set_word_gradLogits(word, x, vec2<bool>(first >= 0, first + 1 < i32(args.N * args.V)));
}

@compute @workgroup_size(LANES)
fn entries(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let blocks = ((args.V + gradLogits_per_word - 1u) / gradLogits_per_word + BLOCK) / BLOCK;
  let row = group_of(id) / blocks;
  if (row >= args.N) {
    return;
  }
  let r = prepared(row);
  let t = transform_of();
  let next = i32((row + 1u) * args.V);
  let begin = first_word(row) + (group_of(id) % blocks) * BLOCK;
  let stop = min(begin + BLOCK, first_word(row + 1u));
  for (var word = begin + lane; word < stop; word += 4u * LANES) {
    let words = vec4<u32>(word, word + LANES, word + 2u * LANES, word + 3u * LANES);
    let first = vec4<i32>(
      first_of_word_gradLogits(words.x),
      first_of_word_gradLogits(words.y),
      first_of_word_gradLogits(words.z),
      first_of_word_gradLogits(words.w),
    );
    let a = entries_of(r, t, first);
    var b = vec4<f32>();
    if (gradLogits_per_word == 2u) {
      b = entries_of(r, t, first + 1);
      let crosses = first + 1 == vec4<i32>(next);
      if (any(crosses) && row + 1u < args.N) {
        b = select(b, entries_of(prepared(row + 1u), t, vec4<i32>(next)), crosses);
      }
    }
    write_word(words.x, first.x, vec2<f32>(a.x, b.x));
    if (words.y < stop) {
      write_word(words.y, first.y, vec2<f32>(a.y, b.y));
    }
    if (words.z < stop) {
      write_word(words.z, first.z, vec2<f32>(a.z, b.z));
    }
    if (words.w < stop) {
      write_word(words.w, first.w, vec2<f32>(a.w, b.w));
    }
  }
}
