// See sequence_logprobs.h. A workgroup for each chunk of a sequence; for a mean with `valid`, `counts` has counted the tokens
// of each chunk. 4 B per token and `valid` (twice for a mean): the minimum, but for the second look at `valid`.

const OFFSETS_INPUT = 3u;
// sequence_logprobs.webgpu.ts has the same.
const TOKENS = 4096u;

const MEAN = 1u;

// Scratch: word 0 of sequences.wgsl, then the count of each slot.
fn count_word(slot: u32) -> u32 {
  return 1u + slot;
}

@compute @workgroup_size(LANES)
fn counts(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let slot = group_of(id);
  if (slot >= slots_of(TOKENS)) {
    return;
  }
  let chunk = chunk_all(slot, TOKENS, lane);
  var count = 0u;
  for (var i = chunk.start + lane; i < chunk.start + chunk.count; i += LANES) {
    count += select(0u, 1u, is_valid(i));
  }
  count = sum_all_u(count, lane);
  if (lane == 0u) {
    set_work_u(count_word(slot), count);
  }
}

// The tokens of sequence b that count, by all lanes.
fn count_all(b: u32, lane: u32) -> u32 {
  let length = span_of(b).length;
  if (!has_valid()) {
    return length;
  }
  let first = first_slot_of(b, TOKENS);
  var count = 0u;
  for (var slot = first + lane; slot < first + chunks_of(length, TOKENS); slot += LANES) {
    count += work_u(count_word(slot));
  }
  return sum_all_u(count, lane);
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let chunk = chunk_all(group_of(id), TOKENS, lane);
  var grad = nan();
  if (chunk.sequence != NO_SEQUENCE) {
    grad = in_gradSequence(chunk.sequence);
    if (args.reduce == MEAN) {
      let count = pair_of_u(max(count_all(chunk.sequence, lane), 1u));
      grad = value_of(pair_divide(Pair(grad, 0.0), count));
    }
  }
  for (var i = chunk.start + lane; i < chunk.start + chunk.count; i += LANES) {
    set_gradLogprob(i, select(0.0, grad, chunk.sequence == NO_SEQUENCE || is_valid(i)));
  }
}
