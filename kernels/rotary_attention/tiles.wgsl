// What attention and its gradients share. A tile of 32 rows (`own`) of one key head meets blocks of 64 others: their products
// are made 16 elements of a head at a time in workgroup memory, 2 rows x 4 others per invocation, become weights there, and
// the weights gather vectors of the others, 16 at a time, into 2 rows x (4 + 4) columns per invocation. Heads of more than 128
// elements are gathered in slices of 64 pairs, each by a workgroup of its own.
//
// Rows are the queries of a tile in order and, per query, the heads that share the key head (32 at a time if there are more).
// What a row may not see is hidden, whatever it holds: no row ever touches a key beyond its own.
const FREQUENCIES = 1u;
const OWN = 32u;
const OTHERS = 64u;
const PAIRS = 8u;
const TERMS = 16u;
const SLICE = 64u;
// From one term (or other) to the next, so that what is written spreads over the banks.
const OWN_PITCH = 36u;
const OTHERS_PITCH = 68u;
const WEIGHTS_PITCH = 33u;

var<workgroup> own_terms: array<f32, TERMS * OWN_PITCH>;
var<workgroup> other_terms: array<f32, TERMS * OTHERS_PITCH>;
// [other * WEIGHTS_PITCH + row]
var<workgroup> weights: array<f32, OTHERS * WEIGHTS_PITCH>;
// First element of the head of an own row, and how many keys it sees (0: there is no such row).
var<workgroup> own_at: array<u32, OWN>;
var<workgroup> own_seen: array<u32, OWN>;

// Stands in `weights` where a row may not see.
const HIDDEN = -3.0e38;
fn is_hidden(x: f32) -> bool {
  return bits_of(x) == bits_of(HIDDEN);
}

// common/sequences.wgsl asks; no token of attention is left out.
fn has_valid() -> bool {
  return false;
}
fn in_valid(i: u32) -> u32 {
  return 1u;
}

fn half_size() -> u32 {
  return args.Q / u32(args.heads) / 2u;
}
// Query heads per key head.
fn heads_per_key() -> u32 {
  return u32(args.heads / args.keyValueHeads);
}
fn score_scale() -> f32 {
  return 1.0 / sqrt(f32(2u * half_size()));
}

@compute @workgroup_size(LANES)
fn angles(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let half = half_size();
  let at = group_of(id) * LANES + lane;
  if (at >= positions() * half) {
    return;
  }
  let angle = angle_of(at % half, i32(at / half));
  set_work(angles_at() + 2u * at, angle.x);
  set_work(angles_at() + 2u * at + 1u, angle.y);
}
// The first word behind the frequencies.
fn angles_at() -> u32 {
  return FREQUENCIES + 2u * half_size();
}
fn prepared_angle(i: u32, position: u32) -> vec2<f32> {
  let at = angles_at() + 2u * (position * half_size() + i);
  return vec2<f32>(work(at), work(at + 1u));
}

// Elements at + i and at + i + half of a head.
fn query_pair(at: u32, i: u32) -> vec2<f32> {
  return vec2<f32>(in_query(at + i), in_query(at + i + half_size()));
}
fn key_pair(at: u32, i: u32) -> vec2<f32> {
  return vec2<f32>(in_key(at + i), in_key(at + i + half_size()));
}
fn value_pair(at: u32, i: u32) -> vec2<f32> {
  return vec2<f32>(in_value(at + i), in_value(at + i + half_size()));
}

// The pair of a chunk of terms that an invocation brings, and of which row: that of the first 32.
fn own_pair(lane: u32) -> vec2<u32> {
  return vec2<u32>(lane % PAIRS, lane / PAIRS);
}
fn set_own(place: vec2<u32>, pair: vec2<f32>) {
  own_terms[place.x * OWN_PITCH + place.y] = pair.x;
  own_terms[(PAIRS + place.x) * OWN_PITCH + place.y] = pair.y;
}
fn set_other(place: vec2<u32>, pair: vec2<f32>) {
  other_terms[place.x * OTHERS_PITCH + place.y] = pair.x;
  other_terms[(PAIRS + place.x) * OTHERS_PITCH + place.y] = pair.y;
}

// What an invocation adds up: four others or columns of its two rows, 2 (lane / 16) and the one after it.
struct Sums {
  first: vec4<f32>,
  second: vec4<f32>,
}

fn four_others(term: u32, lane: u32) -> vec4<f32> {
  let at = term * OTHERS_PITCH + lane % 16u * 4u;
  return vec4<f32>(other_terms[at], other_terms[at + 1u], other_terms[at + 2u], other_terms[at + 3u]);
}

// Takes up the 16 terms in workgroup memory.
fn multiply(sums: Sums, lane: u32) -> Sums {
  var next = sums;
  let row = lane / 16u * 2u;
  for (var term = 0u; term < TERMS; term++) {
    let x = four_others(term, lane);
    next.first = fma(vec4<f32>(own_terms[term * OWN_PITCH + row]), x, next.first);
    next.second = fma(vec4<f32>(own_terms[term * OWN_PITCH + row + 1u]), x, next.second);
  }
  return next;
}

fn put_weights(x: Sums, lane: u32) {
  let row = lane / 16u * 2u;
  for (var i = 0u; i < 4u; i++) {
    let at = (lane % 16u * 4u + i) * WEIGHTS_PITCH + row;
    weights[at] = x.first[i];
    weights[at + 1u] = x.second[i];
  }
}

// Takes up the vectors of 16 others, from `place` of the block on, that lie in workgroup memory.
fn gather(sums: Sums, place: u32, lane: u32) -> Sums {
  var next = sums;
  let row = lane / 16u * 2u;
  for (var other = 0u; other < TERMS; other++) {
    let x = four_others(other, lane);
    let first = weights[(place + other) * WEIGHTS_PITCH + row];
    let second = weights[(place + other) * WEIGHTS_PITCH + row + 1u];
    if (!is_hidden(first)) {
      next.first = fma(vec4<f32>(first), x, next.first);
    }
    if (!is_hidden(second)) {
      next.second = fma(vec4<f32>(second), x, next.second);
    }
  }
  return next;
}

// The columns of a slice are numbered through: the first elements of its pairs, then the second.
struct Slice {
  first: u32,  // its first pair
  pairs: u32,
}
fn slices() -> u32 {
  return (half_size() + SLICE - 1u) / SLICE;
}
fn slice_of(number: u32) -> Slice {
  return Slice(number * SLICE, min(SLICE, half_size() - number * SLICE));
}
fn element_of(slice: Slice, column: u32) -> u32 {
  return slice.first + select(column, half_size() + column - slice.pairs, column >= slice.pairs);
}
fn is_inside(slice: Slice, column: u32) -> bool {
  return column < 2u * slice.pairs;
}

// A workgroup's part of the call: which rows (or keys) it owns, of which key head, and which columns.
struct Share {
  slot: u32,      // of common/sequences.wgsl
  key_head: u32,
  head: u32,      // its first query head
  heads: u32,     // query heads per token
  slice: u32,
}
// Query heads of a tile at most, and tokens. The plan has the same.
fn most_heads() -> u32 {
  return min(heads_per_key(), OWN);
}
fn tile_tokens() -> u32 {
  return OWN / most_heads();
}
fn share_of(group: u32) -> Share {
  let parts = (heads_per_key() + OWN - 1u) / OWN;
  let slice = group % slices();
  let part = group / slices() % parts;
  let key_head = group / slices() / parts % u32(args.keyValueHeads);
  let slot = group / slices() / parts / u32(args.keyValueHeads);
  let heads = min(OWN, heads_per_key() - part * OWN);
  return Share(slot, key_head, key_head * heads_per_key() + part * OWN, heads, slice);
}

// Where the keys of a sequence lie, and the queries among them.
struct Keys {
  first: u32,   // row of its first key
  before: u32,  // keys that stand before those of the queries
  length: u32,  // queries
  broken: u32,  // 1: offsets or key lengths are, and NaN is all there is to write
}
var<workgroup> shared_keys: Keys;
fn keys_all(chunk: Chunk, size: u32, lane: u32) -> Keys {
  if (lane == 0u) {
    shared_keys = Keys(0u, 0u, 0u, 1u);
    if (chunk.sequence != NO_SEQUENCE) {
      shared_keys = keys_of(chunk.sequence, span_of(chunk.sequence));
    }
  }
  return workgroupUniformLoad(&shared_keys);
}

// Prepares the own rows of queries: the index of the head's first element, and the keys seen. Barrier needed.
fn set_own_rows(share: Share, chunk: Chunk, keys: Keys, lane: u32) {
  if (lane < OWN) {
    let token = chunk.start + lane / share.heads;
    let inside = lane < chunk.count * share.heads;
    let position = keys.before + chunk.number * tile_tokens() + lane / share.heads;
    own_at[lane] = token * args.Q + (share.head + lane % share.heads) * 2u * half_size();
    own_seen[lane] = select(0u, position + 1u, inside);
  }
}
