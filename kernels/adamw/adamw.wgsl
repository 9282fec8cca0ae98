// See adamw.h. `scan` (only without norm) leaves a flag per workgroup, `prepare` checks the segments, decides and takes the
// step count further, `update` does the rest: 28 B per parameter, the minimum, and 4 B more for a scan.
const BLOCK = 4096u;
const MOST_GROUPS = 1024u;
const UPDATES = 2048u;  // parameters of a workgroup of `update`
const SEGMENTS_INPUT = 6u;

// Scratch: what `prepare` leaves for `update`, then the flags of `scan`.
const GO = 0u;
const GRAD_FACTOR = 1u;
const STEP_SIZE = 2u;
const ROOT_SCALE = 3u;
const FLAGS = 8u;

fn scan_count() -> u32 {
  return min((args.P + BLOCK - 1u) / BLOCK, MOST_GROUPS);
}

fn segment_start(s: u32) -> u32 {
  return u32(in_segments(2u * s));
}
fn segment_end(s: u32) -> u32 {
  return segment_start(s) + u32(in_segments(2u * s + 1u));
}
// The first segment that ends after parameter i.
fn segment_after(i: u32) -> u32 {
  var low = 0u;
  var high = select(0u, args.S, has_segments());
  while (low < high) {
    let middle = (low + high) / 2u;
    if (segment_end(middle) <= i) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  return low;
}
// The same, known that it is not before s.
fn segment_from(s: u32, i: u32) -> u32 {
  var next = s;
  while (has_segments() && next < args.S && segment_end(next) <= i) {
    next++;
  }
  return next;
}
// Does the parameter belong to s, or is it padding?
fn is_inside(s: u32, i: u32) -> bool {
  if (!has_segments()) {
    return true;
  }
  return s < args.S && segment_start(s) <= i;
}

@compute @workgroup_size(LANES)
fn scan(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let group = group_of(id);
  if (group >= scan_count()) {
    return;
  }
  var bad = 0u;
  for (var first = group * BLOCK; first < args.P; first += scan_count() * BLOCK) {
    var s = segment_after(first);
    for (var i = first + lane; i < min(first + BLOCK, args.P); i += LANES) {
      s = segment_from(s, i);
      if (is_inside(s, i) && !is_finite(in_grad(i))) {
        bad = 1u;
      }
    }
  }
  bad = max_all_u(bad, lane);
  if (lane == 0u) {
    set_work_u(FLAGS + group, bad);
  }
}

// 1 - beta^t; beta = 0 has no logarithm.
fn correction(t: Pair, beta: f32, log_beta: Pair) -> f32 {
  if (beta == 0.0) {
    return 1.0;
  }
  return -expm1_of(value_of(pair_multiply(t, log_beta)));
}

@compute @workgroup_size(LANES)
fn prepare(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (group_of(id) > 0u) {
    return;
  }
  // Complements, so that the largest is the first wrong segment.
  var wrong = 0u;
  if (has_segments()) {
    for (var s = lane; s < args.S; s += LANES) {
      let start = in_segments(2u * s);
      let length = in_segments(2u * s + 1u);
      let before = max(s, 1u) - 1u;
      let overlaps = s > 0u && start < in_segments(2u * before) + in_segments(2u * before + 1u);
      if (start < 0 || length < 0 || overlaps || u32(start) > args.P || u32(length) > args.P - u32(start)) {
        wrong = max(wrong, ~s);
      }
    }
  }
  wrong = max_all_u(wrong, lane);
  var bad = 0u;
  if (!has_norm()) {
    for (var k = lane; k < scan_count(); k += LANES) {
      bad = max(bad, work_u(FLAGS + k));
    }
  }
  bad = max_all_u(bad, lane);
  if (lane > 0u) {
    return;
  }
  if (wrong != 0u) {
    report(SEGMENTS_INPUT, 2u * ~wrong);
  }
  var finite = bad == 0u || wrong != 0u;
  var factor = args.gradScale;
  if (has_norm()) {
    let norm = in_norm(0u);
    finite = is_finite(norm);
    let scaled = norm * abs(args.gradScale);
    if (finite && args.given_maxNorm == 1u && (!is_finite(scaled) || scaled > args.maxNorm)) {
      factor = select(1.0, -1.0, is_negative(args.gradScale)) * (args.maxNorm / norm);
    }
  }
  let step = in_step(0u);
  let t = pair_add(two_sum(f32(step & -65536), f32(step & 65535)), Pair(1.0, 0.0));
  let c1 = correction(t, args.beta1, Pair(args.logBeta1, args.logBeta1_low));
  let c2 = correction(t, args.beta2, Pair(args.logBeta2, args.logBeta2_low));
  let go = finite && wrong == 0u;
  set_work_u(GO, select(0u, 1u, go));
  set_work(GRAD_FACTOR, factor);
  set_work(STEP_SIZE, value_of(pair_divide(Pair(args.lr, args.lr_low), Pair(c1, 0.0))));
  set_work(ROOT_SCALE, 1.0 / c2);
  set_refused(0u, select(1, 0, finite));
  if (go) {
    set_step(0u, step + 1);
  }
}

@compute @workgroup_size(LANES)
fn update(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (work_u(GO) == 0u) {
    return;
  }
  let factor = work(GRAD_FACTOR);
  let size = work(STEP_SIZE);
  let root = work(ROOT_SCALE);
  let first = group_of(id) * UPDATES;
  var s = segment_after(first);
  for (var i = first + lane; i < min(first + UPDATES, args.P); i += LANES) {
    s = segment_from(s, i);
    if (!is_inside(s, i)) {
      continue;
    }
    let decay = args.lr * select(args.weightDecay, in_decay(s), has_decay());
    let g = in_grad(i) * factor;
    let m = fma(args.beta1, in_m(i), args.oneMinusBeta1 * g);
    let v = fma(args.beta2, in_v(i), args.oneMinusBeta2 * g * g);
    let width = sqrt(v * root) + args.epsilon;
    // 0 / 0 (epsilon = 0 and no gradient ever) moves nothing; what is too small for a normal number may be 0 as well.
    let still = (bits_of(m) & 0x7f800000u) == 0u;
    let change = select(m / width, 0.0, still);
    let p = in_param(i);
    set_m(i, m);
    set_v(i, v);
    set_param(i, fma(-size, change, fma(-decay, p, p)));
  }
}
