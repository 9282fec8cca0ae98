// One result of the sums that 256 invocations have, as a tree. The op's own text declares `Sums`, `no_sums()` (which
// adds exactly nothing) and `merge_sums(a, b)`. All must take part; invocation 0 gets the result.

var<workgroup> halves: array<Sums, 128>;

fn merge_all(mine: Sums, lane: u32) -> Sums {
  var merged = mine;
  for (var half = LANES / 2u; half > 0u; half >>= 1u) {
    if (lane >= half && lane < 2u * half) {
      halves[lane - half] = merged;
    }
    workgroupBarrier();
    if (lane < half) {
      merged = merge_sums(merged, halves[lane]);
    }
    workgroupBarrier();
  }
  return merged;
}

// Pairs in scratch.
fn load_pair(at: u32) -> Pair {
  return Pair(work(at), work(at + 1u));
}
fn store_pair(at: u32, x: Pair) {
  set_work(at, x.high);
  set_work(at + 1u, x.low);
}
