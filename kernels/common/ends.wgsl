// The first and the last token of a sequence that count. After sequences.wgsl.

const NO_TOKEN = 0xffffffffu;
const LOOKED_AT = 2048u;  // tokens between two barriers

var<workgroup> shared_span: Span;

// The same for all invocations of a workgroup, which must all take part: uniform for the compiler. Empty where the offsets
// are broken.
fn span_all(b: u32, lane: u32) -> Span {
  if (lane == 0u) {
    if (offsets_broken()) {
      shared_span = Span(0u, 0u);
    } else {
      shared_span = span_of(b);
    }
  }
  return workgroupUniformLoad(&shared_span);
}

// Of a uniform span, or NO_TOKEN. All must take part.
fn first_valid_all(span: Span, lane: u32) -> u32 {
  if (!has_valid()) {
    return select(span.start, NO_TOKEN, span.length == 0u);
  }
  for (var begin = 0u; begin < span.length; begin += LOOKED_AT) {
    // Complements, so that the largest is the first.
    var found = 0u;
    for (var t = begin + lane; t < min(begin + LOOKED_AT, span.length); t += LANES) {
      found = max(found, select(0u, ~t, is_valid(span.start + t)));
    }
    found = max_all_u(found, lane);
    if (found > 0u) {
      return span.start + ~found;
    }
  }
  return NO_TOKEN;
}

fn last_valid_all(span: Span, lane: u32) -> u32 {
  if (!has_valid()) {
    return select(span.start + span.length - 1u, NO_TOKEN, span.length == 0u);
  }
  for (var end = span.length; end > 0u; end -= min(end, LOOKED_AT)) {
    var found = 0u;
    for (var t = end - min(end, LOOKED_AT) + lane; t < end; t += LANES) {
      found = max(found, select(0u, t + 1u, is_valid(span.start + t)));
    }
    found = max_all_u(found, lane);
    if (found > 0u) {
      return span.start + found - 1u;
    }
  }
  return NO_TOKEN;
}
