// What losses on pairs share: 1024 pairs to a workgroup, partial sums, and their order. `terms` writes what belongs to
// a pair, and the loss as well where there is only one workgroup; otherwise `finish` adds the partial sums up. The op's
// own text declares `add_pair(i, &sums)`, which writes the outputs of one pair.

const PAIRS = 1024u;
const SUM_WORDS = 12u;

struct Sums {
  loss: Pair,
  margin: Pair,
  chosen: Pair,
  rejected: Pair,
  halves: u32,  // twice the sum of accuracies
}
fn no_sums() -> Sums {
  let none = Pair(0.0, 0.0);
  return Sums(none, none, none, none, 0u);
}
fn merge_sums(a: Sums, b: Sums) -> Sums {
  return Sums(
    pair_add(a.loss, b.loss),
    pair_add(a.margin, b.margin),
    pair_add(a.chosen, b.chosen),
    pair_add(a.rejected, b.rejected),
    a.halves + b.halves,
  );
}
fn weight_of(i: u32) -> f32 {
  if (!has_weight()) {
    return 1.0;
  }
  return in_weight(i);
}
fn divisor() -> Pair {
  if (args.given_normalizer == 1u) {
    return Pair(args.normalizer, args.normalizer_low);
  }
  return pair_of_u(args.B);
}
// The factor of a pair's gradient, but for its weight.
fn gradient_scale() -> f32 {
  return value_of(pair_divide(Pair(args.gradScale, args.gradScale_low), divisor()));
}
// 1 above 0, -1 below, 0 at 0 and for a NaN.
fn sign_of(x: f32) -> i32 {
  if (is_zero(x) || is_nan(x)) {
    return 0;
  }
  return select(1, -1, is_negative(x));
}

fn write_results(sums: Sums) {
  set_loss(0u, 0.0);
  if (args.B > 0u) {
    set_loss(0u, value_of(pair_divide(sums.loss, divisor())));
  }
  set_stats(0u, value_of(sums.loss));
  set_stats(1u, f32(args.B));
  set_stats(2u, f32(args.B));
  set_stats(3u, 0.5 * f32(sums.halves));
  set_stats(4u, value_of(sums.margin));
  set_stats(5u, value_of(sums.chosen));
  set_stats(6u, value_of(sums.rejected));
}

@compute @workgroup_size(LANES)
fn terms(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group_of(id) * PAIRS;
  var sums = no_sums();
  for (var k = lane; k < PAIRS; k += LANES) {
    if (first + k < args.B) {
      add_pair(first + k, &sums);
    }
  }
  sums = merge_all(sums, lane);
  if (lane > 0u) {
    return;
  }
  if (args.B <= PAIRS) {
    if (first == 0u) {
      write_results(sums);
    }
  } else if (first < args.B) {
    let at = group_of(id) * SUM_WORDS;
    store_pair(at, sums.loss);
    store_pair(at + 2u, sums.margin);
    store_pair(at + 4u, sums.chosen);
    store_pair(at + 6u, sums.rejected);
    set_work_u(at + 8u, sums.halves);
  }
}

@compute @workgroup_size(LANES)
fn finish(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (group_of(id) > 0u) {
    return;
  }
  var sums = no_sums();
  for (var block = lane; block * PAIRS < args.B; block += LANES) {
    let at = block * SUM_WORDS;
    let one = Sums(load_pair(at), load_pair(at + 2u), load_pair(at + 4u), load_pair(at + 6u), work_u(at + 8u));
    sums = merge_sums(sums, one);
  }
  sums = merge_all(sums, lane);
  if (lane == 0u) {
    write_results(sums);
  }
}
