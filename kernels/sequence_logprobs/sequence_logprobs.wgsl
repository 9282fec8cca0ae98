// See sequence_logprobs.h. `whole` has a workgroup for each sequence; where sequences may have more than TOKENS tokens,
// `parts` adds up chunks of that many, and `finish` the chunks of each sequence in order, to the same bits.
// 4 B per token, 8 with a reference, and `valid`: the minimum.

const OFFSETS_INPUT = 3u;
// sequence_logprobs.webgpu.ts has the same.
const TOKENS = 4096u;
const PART_WORDS = 5u;

const MEAN = 1u;

struct Sums {
  count: u32,
  logprob: Pair,
  log_ratio: Pair,
}

// Of `length` tokens, by all lanes.
fn sums_of(start: u32, length: u32, lane: u32) -> Sums {
  var count = 0u;
  var logprob = Pair(0.0, 0.0);
  var log_ratio = Pair(0.0, 0.0);
  for (var i = start + lane; i < start + length; i += LANES) {
    if (is_valid(i)) {
      count++;
      logprob = sum_add(logprob, in_logprob(i));
      if (has_refLogprob()) {
        log_ratio = sum_add_pair(log_ratio, two_difference(in_logprob(i), in_refLogprob(i)));
      }
    }
  }
  if (has_refLogprob()) {
    log_ratio = sum_pair_all(log_ratio, lane);
  }
  return Sums(sum_all_u(count, lane), sum_pair_all(logprob, lane), log_ratio);
}

fn write(b: u32, sums: Sums) {
  let divisor = pair_of_u(select(1u, max(sums.count, 1u), args.reduce == MEAN));
  set_logprob(b, value_of(pair_divide(sums.logprob, divisor)));
  set_logRatio(b, value_of(pair_divide(sums.log_ratio, divisor)));
  set_count(b, f32(sums.count));
}
fn write_nan(b: u32) {
  set_logprob(b, nan());
  set_logRatio(b, nan());
  set_count(b, nan());
}

@compute @workgroup_size(LANES)
fn whole(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let b = group_of(id);
  if (b >= args.B) {
    return;
  }
  let broken = offsets_broken();
  var span = Span(0u, 0u);
  if (!broken) {
    span = span_of(b);
  }
  let sums = sums_of(span.start, span.length, lane);
  if (lane == 0u) {
    if (broken) {
      write_nan(b);
    } else {
      write(b, sums);
    }
  }
}

// Scratch: word 0 of sequences.wgsl, then the parts.
fn part_word(slot: u32) -> u32 {
  return 1u + slot * PART_WORDS;
}

@compute @workgroup_size(LANES)
fn parts(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group_of(id);
  if (slot >= slots_of(TOKENS)) {
    return;
  }
  let chunk = chunk_all(slot, TOKENS, lane);
  if (chunk.sequence == NO_SEQUENCE) {
    return;
  }
  let sums = sums_of(chunk.start, chunk.count, lane);
  if (lane == 0u) {
    let at = part_word(slot);
    set_work_u(at, sums.count);
    set_work(at + 1u, sums.logprob.high);
    set_work(at + 2u, sums.logprob.low);
    set_work(at + 3u, sums.log_ratio.high);
    set_work(at + 4u, sums.log_ratio.low);
  }
}

@compute @workgroup_size(LANES)
fn finish(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let b = group_of(id) * LANES + lane;
  if (b >= args.B) {
    return;
  }
  if (offsets_broken()) {
    write_nan(b);
    return;
  }
  let first = first_slot_of(b, TOKENS);
  var sums = Sums(0u, Pair(0.0, 0.0), Pair(0.0, 0.0));
  for (var slot = first; slot < first + chunks_of(span_of(b).length, TOKENS); slot++) {
    let at = part_word(slot);
    sums.count += work_u(at);
    sums.logprob = pair_add(sums.logprob, Pair(work(at + 1u), work(at + 2u)));
    sums.log_ratio = pair_add(sums.log_ratio, Pair(work(at + 3u), work(at + 4u)));
  }
  write(b, sums);
}
