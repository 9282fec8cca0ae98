// See gae.h. A sequence is scanned backwards in chunks of 2048 tokens, counted from the first that counts, each by one
// workgroup. Where none can have a second chunk only `forward` runs; else reduce-then-scan in separate dispatches:
//   check_offsets  packed only
//   ends           valid only: the first and the last token that count
//   reduce         what a chunk makes of what comes from behind it
//   carry          a workgroup per sequence: what comes from behind each chunk, in groups of 32 chunks
//   forward        advantages and returns
// Bytes per token: 16 (the minimum) and the masks; with chunks, rewards, values and masks again: 24.
//
// What a step hands to the one before it is S = gamma V + gamma lambda A (with nextValues without its first term), so that
// A = r - V + S' and nobody needs to look for the next step that counts: a step is a map S' -> b + a S'. All of it in pairs:
// the rounding of the factors would grow with the length of the trace, that of the sums with its steps.
const TRUNCATED_INPUT = 4u;
const OFFSETS_INPUT = 7u;
const CHUNK = 2048u;
const STEPS = 8u;    // of a lane
const GROUP = 32u;   // chunks whose maps one lane composes
const CARRY = 0u;    // code of maskMode

// Scratch: word 0 of sequences.wgsl, begin and stop of each sequence, and for each slot and lambda the map of its chunk, that of
// the group that begins with it (in its place then what comes from behind the group), and what comes from behind the chunk.
const ENDS = 1u;
const RECORD = 10u;
const GROUP_WORD = 4u;
const BEHIND_WORD = 8u;

fn work_pair(i: u32) -> Pair {
  return Pair(work(i), work(i + 1u));
}
fn set_work_pair(i: u32, x: Pair) {
  set_work(i, x.high);
  set_work(i + 1u, x.low);
}
fn record_of(slot: u32, which: u32) -> u32 {
  return ENDS + 2u * args.B + (2u * slot + which) * RECORD;
}

// The steps of a sequence lie in [begin, stop): what is outside, or does not count, changes nothing.
struct Ends {
  begin: u32,
  stop: u32,
}
fn ends_of(b: u32) -> Ends {
  if (has_valid()) {
    return Ends(work_u(ENDS + 2u * b), work_u(ENDS + 2u * b + 1u));
  }
  let span = span_of(b);
  return Ends(span.start, span.start + span.length);
}

@compute @workgroup_size(LANES)
fn ends(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let b = group_of(id);
  if (b >= args.B) {
    return;
  }
  let span = span_all(b, lane);
  let first = first_valid_all(span, lane);
  let last = last_valid_all(span, lane);
  if (lane == 0u) {
    let end = span.start + span.length;
    set_work_u(ENDS + 2u * b, select(first, end, first == NO_TOKEN));
    set_work_u(ENDS + 2u * b + 1u, select(last + 1u, end, last == NO_TOKEN));
  }
}

// The policy's lambda, and that of the returns where they have one of their own.
fn lambdas_used() -> u32 {
  return 1u + args.given_valueLambda;
}
fn decay_of(b: u32, which: u32) -> Pair {
  var lambda = Pair(args.lambda, args.lambda_low);
  if (which == 1u) {
    lambda = Pair(args.valueLambda, args.valueLambda_low);
  } else if (has_lambdas()) {
    lambda = Pair(in_lambdas(b), 0.0);
  }
  return pair_multiply(Pair(args.gamma, args.gamma_low), lambda);
}
// What comes from behind the last step.
fn behind_all(b: u32) -> f32 {
  return select(args.gamma * in_bootstrap(b), 0.0, has_nextValues() || !has_bootstrap());
}

// How a step treats what comes from behind it.
const PASSES = 0u;  // as if it were not there
const ENDS_HERE = 1u;
const GOES_ON = 2u;

struct Step {
  local: f32,  // A but for what comes from behind
  base: f32,   // S but for the trace
  kind: u32,
}
fn step_at(i: u32, ends: Ends) -> Step {
  if (i >= ends.stop) {
    return Step(0.0, 0.0, PASSES);
  }
  if (!is_valid(i)) {
    return Step(0.0, 0.0, select(GOES_ON, PASSES, args.maskMode == CARRY));
  }
  let value = in_values(i);
  let local = in_rewards(i) - value;
  let terminated = in_terminated(i) != 0u;
  let truncated = !terminated && in_truncated(i) != 0u;
  if (has_nextValues()) {
    let following = fma(args.gamma, in_nextValues(i), local);
    return Step(select(following, local, terminated), 0.0, select(GOES_ON, ENDS_HERE, terminated || truncated));
  }
  let base = args.gamma * value;
  if (truncated && (i + 1u < ends.stop || !has_bootstrap())) {
    report(TRUNCATED_INPUT, i);
    return Step(nan(), base, ENDS_HERE);
  }
  return Step(local, base, select(GOES_ON, ENDS_HERE, terminated));
}

// a x + b: where a is 0, b even if x is not finite, as what lies behind an end has no effect. Shorter than pair_multiply and
// pair_add, as the second part need not be small.
fn linear(a: Pair, x: Pair, b: Pair) -> Pair {
  if (is_zero(a.high)) {
    return b;
  }
  let p = two_product(a.high, x.high);
  let s = two_sum(b.high, p.high);
  let low = s.low + (b.low + (p.low + (a.high * x.low + a.low * x.high)));
  return Pair(s.high, select(0.0, low, is_finite(s.high)));
}
// A product that was not cut does not become 0: what is not finite passes through it however long it is.
fn times(a: Pair, b: Pair) -> Pair {
  if (is_zero(a.high) || is_zero(b.high)) {
    return Pair(0.0, 0.0);
  }
  let p = pair_multiply(a, b);
  if (p.high < 0x1p-126f) {
    return Pair(0x1p-126f, 0.0);
  }
  return p;
}

struct Map {
  a: Pair,
  b: Pair,
}
fn identity() -> Map {
  return Map(Pair(1.0, 0.0), Pair(0.0, 0.0));
}
fn work_map(i: u32) -> Map {
  return Map(work_pair(i), work_pair(i + 2u));
}
fn set_work_map(i: u32, map: Map) {
  set_work_pair(i, map.a);
  set_work_pair(i + 2u, map.b);
}
fn compose(early: Map, late: Map) -> Map {
  // The bits of a sequence do not depend on how much padding is behind it.
  if (is_zero(late.b.high) && late.b.low == 0.0 && late.a.high == 1.0 && late.a.low == 0.0) {
    return early;
  }
  return Map(times(early.a, late.a), linear(early.a, late.b, early.b));
}

var<private> steps: array<Step, STEPS>;

// The map of this lane's steps.
fn map_of_steps(decay: Pair) -> Map {
  var map = identity();
  for (var k = STEPS; k > 0u; k--) {
    let step = steps[k - 1u];
    if (step.kind == ENDS_HERE || (step.kind == GOES_ON && is_zero(decay.high))) {
      map = Map(Pair(0.0, 0.0), linear(decay, Pair(step.local, 0.0), Pair(step.base, 0.0)));
    } else if (step.kind == GOES_ON) {
      map = Map(times(decay, map.a), linear(decay, sum_add(map.b, step.local), Pair(step.base, 0.0)));
    }
  }
  return map;
}

var<workgroup> maps_a_high: array<f32, LANES>;
var<workgroup> maps_a_low: array<f32, LANES>;
var<workgroup> maps_b_high: array<f32, LANES>;
var<workgroup> maps_b_low: array<f32, LANES>;

fn set_shared_map(lane: u32, map: Map) {
  maps_a_high[lane] = map.a.high;
  maps_a_low[lane] = map.a.low;
  maps_b_high[lane] = map.b.high;
  maps_b_low[lane] = map.b.low;
}
// Of this lane and all after it, once scan_all was called; after the last lane nothing.
fn shared_map(lane: u32) -> Map {
  if (lane >= LANES) {
    return identity();
  }
  return Map(Pair(maps_a_high[lane], maps_a_low[lane]), Pair(maps_b_high[lane], maps_b_low[lane]));
}
// Kogge & Stone 1973. Rows shorter than a chunk need fewer rounds.
fn scan_all(own: Map, lane: u32) {
  var map = own;
  workgroupBarrier();
  set_shared_map(lane, map);
  workgroupBarrier();
  let used = select(args.T, CHUNK, has_offsets());
  for (var apart = 1u; apart < LANES && apart * STEPS < used; apart <<= 1u) {
    let late = shared_map(lane + apart);
    workgroupBarrier();
    map = compose(map, late);
    set_shared_map(lane, map);
    workgroupBarrier();
  }
}

fn load_steps(first: u32, ends: Ends) {
  for (var k = 0u; k < STEPS; k++) {
    steps[k] = step_at(first + k, ends);
  }
}

@compute @workgroup_size(LANES)
fn reduce(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group_of(id);
  if (slot >= slots_of(CHUNK)) {
    return;
  }
  let chunk = chunk_all(slot, CHUNK, lane);
  // Nobody is before the first chunk.
  if (chunk.sequence == NO_SEQUENCE || chunk.number == 0u) {
    return;
  }
  let ends = ends_of(chunk.sequence);
  load_steps(ends.begin + chunk.number * CHUNK + lane * STEPS, ends);
  for (var which = 0u; which < lambdas_used(); which++) {
    scan_all(map_of_steps(decay_of(chunk.sequence, which)), lane);
    if (lane == 0u) {
      set_work_map(record_of(slot, which), shared_map(0u));
    }
  }
}

@compute @workgroup_size(LANES)
fn carry(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let b = group_of(id);
  if (b >= args.B) {
    return;
  }
  // Broken offsets leave nothing to do, but nobody may stay away from the barriers.
  var first = 0u;
  var count = 0u;
  var behind = 0.0;
  if (!offsets_broken()) {
    let ends = ends_of(b);
    first = first_slot_of(b, CHUNK);
    count = chunks_of(ends.stop - ends.begin, CHUNK);
    behind = behind_all(b);
  }
  for (var which = 0u; which < lambdas_used(); which++) {
    // The first group's map is of no use, as that of its first chunk.
    for (var low = (1u + lane) * GROUP; low < count; low += LANES * GROUP) {
      var map = identity();
      for (var c = min(low + GROUP, count); c > low; c--) {
        map = compose(work_map(record_of(first + c - 1u, which)), map);
      }
      set_work_map(record_of(first + low, which) + GROUP_WORD, map);
    }
    storageBarrier();
    if (lane == 0u) {
      var s = Pair(behind, 0.0);
      for (var g = (count + GROUP - 1u) / GROUP; g > 0u; g--) {
        let at = record_of(first + (g - 1u) * GROUP, which) + GROUP_WORD;
        let map = work_map(at);
        set_work_pair(at, s);
        s = linear(map.a, s, map.b);
      }
    }
    storageBarrier();
    for (var low = lane * GROUP; low < count; low += LANES * GROUP) {
      var s = work_pair(record_of(first + low, which) + GROUP_WORD);
      for (var c = min(low + GROUP, count); c > low; c--) {
        let at = record_of(first + c - 1u, which);
        let map = work_map(at);
        set_work_pair(at + BEHIND_WORD, s);
        s = linear(map.a, s, map.b);
      }
    }
  }
}

// Advantages of a chunk, so that neighbours write neighbours.
var<workgroup> staged: array<f32, CHUNK>;

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group_of(id);
  if (slot >= slots_of(CHUNK)) {
    return;
  }
  let chunk = chunk_all(slot, CHUNK, lane);
  if (chunk.sequence == NO_SEQUENCE) {
    for (var i = chunk.start + lane; i < chunk.start + chunk.count; i += LANES) {
      set_advantages(i, nan());
      set_returns(i, nan());
    }
    return;
  }
  let b = chunk.sequence;
  let span = span_of(b);
  let ends = ends_of(b);
  if (chunk.number == 0u) {
    for (var i = span.start + lane; i < ends.begin; i += LANES) {
      set_advantages(i, 0.0);
      set_returns(i, 0.0);
    }
  }
  let first = ends.begin + chunk.number * CHUNK;
  load_steps(first + lane * STEPS, ends);
  for (var which = 0u; which < lambdas_used(); which++) {
    let decay = decay_of(b, which);
    scan_all(map_of_steps(decay), lane);
    var s = Pair(behind_all(b), 0.0);
    if (first + CHUNK < ends.stop) {
      s = work_pair(record_of(slot, which) + BEHIND_WORD);
    }
    let after = shared_map(lane + 1u);
    s = linear(after.a, s, after.b);
    for (var k = STEPS; k > 0u; k--) {
      let step = steps[k - 1u];
      if (step.kind != PASSES) {
        var advantage = Pair(step.local, 0.0);
        if (step.kind == GOES_ON) {
          advantage = sum_add(s, step.local);
        }
        staged[lane * STEPS + k - 1u] = value_of(advantage);
        s = linear(decay, advantage, Pair(step.base, 0.0));
      }
    }
    workgroupBarrier();
    for (var k = lane; k < CHUNK && first + k < span.start + span.length; k += LANES) {
      let i = first + k;
      let counts = i < ends.stop && is_valid(i);
      if (which == 0u) {
        set_advantages(i, select(0.0, staged[k], counts));
      }
      if (which + 1u == lambdas_used()) {
        set_returns(i, select(0.0, staged[k] + in_values(i), counts));
      }
    }
  }
}
