// Where sequences lie in [B, T] tensors, in packed ones and in a flat [N] (one sequence). The op's own text says where
// its offsets stand: const OFFSETS_INPUT = 4u. Word 0 of its scratch belongs to this text, and with offsets its first
// pass is `check_offsets` (one workgroup; sequences.webgpu.ts has it).
//
// Long sequences are cut into chunks of `size` tokens, counted from the start of each sequence, so that a packed call
// and a padded one add the same numbers in the same order. Chunks are numbered by slots; the slots that have no tokens
// are there because the host does not know packed lengths.

const NO_SEQUENCE = 0xffffffffu;

struct Span {
  start: u32,
  length: u32,
}

// Do the offsets start at 0, never fall and end at N? The first that is wrong is reported, and no token may be touched
// then: falling offsets overlap, so that no sequence of the call can be trusted.
@compute @workgroup_size(LANES)
fn check_offsets(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (group_of(id) > 0u) {
    return;
  }
  // Complements, so that the largest is the first wrong one.
  var wrong = 0u;
  for (var b = lane; b <= args.B; b += LANES) {
    let at = in_offsets(b);
    let before = in_offsets(max(b, 1u) - 1u);
    let bad = at < 0 || at < before || u32(at) > args.N || (b == 0u && at != 0) || (b == args.B && u32(at) != args.N);
    wrong = select(wrong, max(wrong, ~b), bad);
  }
  wrong = max_all_u(wrong, lane);
  if (lane == 0u) {
    set_work_u(0u, wrong);
    if (wrong != 0u) {
      report(OFFSETS_INPUT, ~wrong);
    }
  }
}

fn offsets_broken() -> bool {
  if (!has_offsets()) {
    return false;
  }
  return work_u(0u) != 0u;
}

// Not to be called where offsets_broken().
fn span_of(b: u32) -> Span {
  if (!has_offsets()) {
    return Span(b * args.T, args.T);
  }
  let start = u32(in_offsets(b));
  return Span(start, u32(in_offsets(b + 1u)) - start);
}

// Does the token count?
fn is_valid(i: u32) -> bool {
  if (!has_valid()) {
    return true;
  }
  return in_valid(i) != 0u;
}

struct Chunk {
  sequence: u32,  // NO_SEQUENCE: an empty slot, or broken offsets
  number: u32,    // within its sequence
  start: u32,     // flat index of its first token
  count: u32,     // its tokens, 0 in an empty slot
}

fn chunks_of(length: u32, size: u32) -> u32 {
  return (length + size - 1u) / size;
}

// The slot of a sequence's first chunk; the others follow it. No two packed sequences meet: of n tokens from `start` on
// there are at most floor((start + n) / size) - floor(start / size) + 1 chunks. Not to be called where offsets_broken().
fn first_slot_of(b: u32, size: u32) -> u32 {
  if (!has_offsets()) {
    return b * chunks_of(args.T, size);
  }
  return u32(in_offsets(b)) / size + b;
}

// All slots, as chunkSlots() of sequences.webgpu.ts has them.
fn slots_of(size: u32) -> u32 {
  if (!has_offsets()) {
    return args.B * chunks_of(args.T, size);
  }
  return chunks_of(args.N, size) + args.B;
}

// What a slot holds. Where the offsets are broken the slots cover all tokens in `size`s, for NaN to be written.
fn chunk_of(slot: u32, size: u32) -> Chunk {
  if (offsets_broken()) {
    let start = min(slot * size, args.N);
    return Chunk(NO_SEQUENCE, 0u, start, min(size, args.N - start));
  }
  var low = 0u;
  if (has_offsets()) {
    // The last sequence whose first slot is at most this one.
    var high = args.B;
    while (high - low > 1u) {
      let middle = (low + high) / 2u;
      if (first_slot_of(middle, size) <= slot) {
        low = middle;
      } else {
        high = middle;
      }
    }
  } else {
    low = slot / max(chunks_of(args.T, size), 1u);
  }
  if (low >= args.B) {
    return Chunk(NO_SEQUENCE, 0u, args.N, 0u);
  }
  let span = span_of(low);
  let number = slot - first_slot_of(low, size);
  if (number >= chunks_of(span.length, size)) {
    return Chunk(NO_SEQUENCE, 0u, args.N, 0u);
  }
  return Chunk(low, number, span.start + number * size, min(size, span.length - number * size));
}

var<workgroup> shared_chunk: Chunk;

// The same for all invocations of a workgroup, which must all take part: uniform for the compiler.
fn chunk_all(slot: u32, size: u32, lane: u32) -> Chunk {
  if (lane == 0u) {
    shared_chunk = chunk_of(slot, size);
  }
  return workgroupUniformLoad(&shared_chunk);
}
