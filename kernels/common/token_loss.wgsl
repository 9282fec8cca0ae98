// What losses on tokens share: denominators, chunks, partial sums and their order. Passes, with token_loss.webgpu.ts:
//   check_offsets  packed only
//   count_tokens   valid only: the tokens that count, per chunk (1 B per token)
//   coefficients   valid or packed only: per sequence, and of all
//   terms          per chunk of 2048 tokens of a sequence: gradients and partial sums
//   sequences      where sequences may have several chunks: their sums
//   finish         the sums of the sequences, and the loss
// The op's own text declares, beside what merge.wgsl asks for (a Sums has `term: Pair`, the terms of the numerator),
//   const STATS                   elements of `stats`
//   load_sums(at), store_sums(at, sums)   16 words of scratch at most
//   first_sums(chunk, slot, lane) what a lane begins with; all take part, and `coefficient` is known
//   add_token(i, &sums)           one token that counts: writes its outputs
//   last_sums(sums)               what a lane's sums come to
//   fill_token(i, x)              writes x in all outputs of a token
//   write_stats(sums)             once

const TOKENS = 2048u;

// Scratch: word 0 of sequences.wgsl, tokens, sequences; then a record for each sequence, and one for each slot:
// count, sequence, four words of the op's own, and sums from 8 on.
const RECORD = 24u;
const SUMS_AT = 8u;

// Codes of `aggregate`.
const TOKEN_MEAN = 0u;
const SEQUENCE_MEAN = 1u;
const TOKEN_SUM = 3u;

// The factor of a term's gradient in the sequence of this workgroup, and its tokens that count.
var<private> coefficient: f32;
var<private> tokens_here: u32;

fn sequence_record(b: u32) -> u32 {
  return 8u + b * RECORD;
}
fn slot_record(slot: u32) -> u32 {
  return 8u + (args.B + slot) * RECORD;
}

fn weight_of(i: u32) -> f32 {
  if (!has_weight()) {
    return 1.0;
  }
  return in_weight(i);
}

// Tokens of the sequence that count.
fn tokens_of(b: u32) -> u32 {
  if (!has_valid()) {
    return span_of(b).length;
  }
  return work_u(sequence_record(b));
}
fn all_tokens() -> u32 {
  if (!has_valid() && !has_offsets()) {
    return args.N;
  }
  return work_u(1u);
}
// Sequences in which any counts.
fn all_sequences() -> u32 {
  if (!has_valid() && !has_offsets()) {
    return select(0u, args.B, args.T > 0u);
  }
  return work_u(2u);
}

fn denominator() -> u32 {
  if (args.aggregate == TOKEN_MEAN) {
    return all_tokens();
  }
  if (args.aggregate == TOKEN_SUM) {
    return 1u;
  }
  return select(all_sequences(), args.B, args.countEmpty == 1u);
}
fn divisor() -> Pair {
  if (args.given_normalizer == 1u) {
    return Pair(args.normalizer, args.normalizer_low);
  }
  return pair_of_u(denominator());
}
// Term over the tokens of its sequence, where the mean of the sequence is what counts.
fn share_of(term: Pair, count: u32) -> Pair {
  if (args.aggregate == SEQUENCE_MEAN) {
    return pair_divide(term, pair_of_u(count));
  }
  return term;
}

@compute @workgroup_size(LANES)
fn count_tokens(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group_of(id);
  let chunk = chunk_all(slot, TOKENS, lane);
  var found = 0u;
  for (var k = lane; k < chunk.count; k += LANES) {
    found += select(0u, 1u, is_valid(chunk.start + k));
  }
  found = sum_all_u(found, lane);
  if (lane == 0u && slot < slots_of(TOKENS)) {
    set_work_u(slot_record(slot), found);
    set_work_u(slot_record(slot) + 1u, chunk.sequence);
  }
}

// Whole numbers, so that their order does not matter.
var<workgroup> found_tokens: array<atomic<u32>, LANES>;

@compute @workgroup_size(LANES)
fn coefficients(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (group_of(id) > 0u) {
    return;
  }
  let broken = offsets_broken();
  var tokens = 0u;
  var sequences_found = 0u;
  // 256 sequences at a time; their chunks are dealt to the lanes.
  for (var base = 0u; base < args.B; base += LANES) {
    atomicStore(&found_tokens[lane], 0u);
    workgroupBarrier();
    if (has_valid() && !broken) {
      let stop = first_slot_of(min(base + LANES, args.B), TOKENS);
      for (var slot = first_slot_of(base, TOKENS) + lane; slot < stop; slot += LANES) {
        let found = work_u(slot_record(slot));
        if (found > 0u) {
          atomicAdd(&found_tokens[work_u(slot_record(slot) + 1u) - base], found);
        }
      }
    }
    workgroupBarrier();
    let b = base + lane;
    if (b < args.B && !broken) {
      var found = atomicLoad(&found_tokens[lane]);
      if (has_valid()) {
        set_work_u(sequence_record(b), found);
      } else {
        found = span_of(b).length;
      }
      tokens += found;
      sequences_found += select(0u, 1u, found > 0u);
    }
  }
  tokens = sum_all_u(tokens, lane);
  sequences_found = sum_all_u(sequences_found, lane);
  if (lane == 0u) {
    set_work_u(1u, tokens);
    set_work_u(2u, sequences_found);
  }
}

@compute @workgroup_size(LANES)
fn terms(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group_of(id);
  let chunk = chunk_all(slot, TOKENS, lane);
  if (chunk.sequence == NO_SEQUENCE) {
    for (var k = lane; k < chunk.count; k += LANES) {
      fill_token(chunk.start + k, nan());
    }
    return;
  }
  tokens_here = tokens_of(chunk.sequence);
  coefficient = 0.0;
  if (tokens_here > 0u) {
    let own = share_of(Pair(args.gradScale, args.gradScale_low), tokens_here);
    coefficient = value_of(pair_divide(own, divisor()));
  }
  var sums = first_sums(chunk, slot, lane);
  for (var k = lane; k < chunk.count; k += LANES) {
    let i = chunk.start + k;
    if (is_valid(i)) {
      add_token(i, &sums);
    } else {
      fill_token(i, 0.0);
    }
  }
  sums = merge_all(last_sums(sums), lane);
  if (lane == 0u) {
    store_sums(slot_record(slot) + SUMS_AT, sums);
  }
}

// May a sequence have several chunks?
fn are_long() -> bool {
  return select(args.T, args.N, has_offsets()) > TOKENS;
}

@compute @workgroup_size(LANES)
fn sequences(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let b = group_of(id);
  if (b >= args.B) {
    return;
  }
  var sums = no_sums();
  if (!offsets_broken()) {
    let first = first_slot_of(b, TOKENS);
    let chunks = chunks_of(span_of(b).length, TOKENS);
    for (var k = lane; k < chunks; k += LANES) {
      sums = merge_sums(sums, load_sums(slot_record(first + k) + SUMS_AT));
    }
  }
  sums = merge_all(sums, lane);
  if (lane == 0u) {
    store_sums(sequence_record(b) + SUMS_AT, sums);
  }
}

@compute @workgroup_size(LANES)
fn finish(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (group_of(id) > 0u) {
    return;
  }
  let broken = offsets_broken();
  var sums = no_sums();
  for (var b = lane; b < args.B && !broken; b += LANES) {
    let found = tokens_of(b);
    if (found > 0u) {
      let record = select(slot_record(first_slot_of(b, TOKENS)), sequence_record(b), are_long());
      var own = load_sums(record + SUMS_AT);
      own.term = share_of(own.term, found);
      sums = merge_sums(sums, own);
    }
  }
  sums = merge_all(sums, lane);
  if (lane > 0u) {
    return;
  }
  if (broken) {
    set_loss(0u, nan());
    for (var k = 0u; k < STATS; k++) {
      set_stats(k, nan());
    }
    return;
  }
  let whole = divisor();
  if (is_zero(whole.high)) {
    set_loss(0u, 0.0);
  } else {
    set_loss(0u, value_of(pair_divide(sums.term, whole)));
  }
  set_stats(0u, value_of(sums.term));
  set_stats(1u, f32(denominator()));
  set_stats(2u, f32(all_tokens()));
  write_stats(sums);
}

// Numbers in the order of whole ones, infinities and all, for minima and maxima that keep a NaN: see least_of, most_of.
fn order_of(x: f32) -> u32 {
  let bits = bits_of(x);
  return select(bits | 0x80000000u, ~bits, is_negative(x));
}
const LEAST = 0x007fffffu;  // -infinity
const MOST = 0xff800000u;   // +infinity
fn least_of(least: u32, x: f32) -> u32 {
  return select(min(least, order_of(x)), 0u, is_nan(x));
}
fn most_of(most: u32, x: f32) -> u32 {
  return select(max(most, order_of(x)), 0xffffffffu, is_nan(x));
}
fn from_order(order: u32) -> f32 {
  if (order == 0u || order == 0xffffffffu) {
    return nan();
  }
  return bitcast<f32>(select(~order, order & 0x7fffffffu, order >= 0x80000000u));
}
