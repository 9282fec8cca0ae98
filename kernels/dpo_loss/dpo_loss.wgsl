// See dpo_loss.h, dpo_kinds.wgsl for the formulas, and common/pair_loss.wgsl for the passes. 4 B per input and 20 B
// written per pair: the least there is. Lengths that nobody divides by are not read.

const CHOSEN_LENGTH_INPUT = 4u;
const REJECTED_LENGTH_INPUT = 5u;

// A length to divide by; one that is not above 0 is reported and makes its pair NaN.
fn length_of(given: f32, place: u32, i: u32) -> f32 {
  let bits = bits_of(given);
  if (bits > 0u && bits <= 0x7f800000u) {
    return given;
  }
  report(place, i);
  return nan();
}

fn add_pair(i: u32, sums: ptr<function, Sums>) {
  let weight = weight_of(i);
  var c = Pair(in_policyChosen(i), 0.0);
  var q = Pair(in_policyRejected(i), 0.0);
  if (has_refChosen()) {
    c = two_difference(c.high, in_refChosen(i));
    q = two_difference(q.high, in_refRejected(i));
  }
  var term: Term;
  if (args.normalize != 0.0) {
    let chosen_length = length_of(in_chosenLength(i), CHOSEN_LENGTH_INPUT, i);
    let rejected_length = length_of(in_rejectedLength(i), REJECTED_LENGTH_INPUT, i);
    term = term_of(pair_divide(c, Pair(chosen_length, 0.0)), pair_divide(q, Pair(rejected_length, 0.0)));
    term.by_chosen /= chosen_length;
    term.by_rejected /= rejected_length;
  } else {
    term = term_of(c, q);
  }
  let factor = weight * gradient_scale();
  set_losses(i, term.loss);
  set_gradPolicyChosen(i, scaled(factor, term.by_chosen));
  set_gradPolicyRejected(i, scaled(factor, term.by_rejected));

  let beta = Pair(args.beta, args.beta_low);
  let chosen = pair_multiply(beta, c);
  let rejected = pair_multiply(beta, q);
  set_chosenReward(i, value_of(chosen));
  set_rejectedReward(i, value_of(rejected));
  let apart = pair_subtract(c, q).high;
  (*sums).halves += select(u32(1 + sign_of(apart)), 0u, is_nan(apart));
  (*sums).loss = sum_add((*sums).loss, scaled(weight, term.loss));
  (*sums).margin = sum_add_pair((*sums).margin, pair_subtract(chosen, rejected));
  (*sums).chosen = sum_add_pair((*sums).chosen, chosen);
  (*sums).rejected = sum_add_pair((*sums).rejected, rejected);
}
