// See bradley_terry_loss.h, and common/pair_loss.wgsl for the passes. 4 B per input and 8 B written per pair: the least
// there is.

const PREFERENCE_INPUT = 3u;

// The probability that chosen is better; one outside [0, 1] is reported and makes its pair NaN.
fn preference_of(i: u32) -> f32 {
  if (!has_preference()) {
    return 1.0;
  }
  let preference = in_preference(i);
  if (bits_of(preference) <= 0x3f800000u || is_zero(preference)) {
    return preference;
  }
  report(PREFERENCE_INPUT, i);
  return nan();
}

fn add_pair(i: u32, sums: ptr<function, Sums>) {
  let chosen = in_chosen(i);
  let rejected = in_rejected(i);
  let weight = weight_of(i);
  let gap = two_difference(chosen, rejected);
  let total = value_of(two_sum(chosen, rejected));
  var d = gap;
  if (has_margin()) {
    d = pair_subtract(gap, Pair(in_margin(i), 0.0));
  }
  // p = preference + e (1 - 2 preference), and 1 - p.
  let preference = preference_of(i);
  let smoothing = Pair(args.labelSmoothing, args.labelSmoothing_low);
  let smoothed = pair_add(Pair(preference, 0.0), pair_multiply(smoothing, two_difference(1.0, 2.0 * preference)));
  let p = value_of(smoothed);
  let q = value_of(pair_subtract(Pair(1.0, 0.0), smoothed));

  let s = logistic(d);
  // A side of weight 0 is left out, so that an infinite score difference in its favour costs nothing.
  let split = scaled(p, s.log_up) + scaled(q, s.log_down);
  let center = args.centerCoefficient;
  let term = scaled(center, total * total) - split;
  // sigmoid(d) - p, without cancellation where both are near 1.
  let pull = q * s.up - p * s.down;
  let hold = scaled(2.0 * center, total);
  let factor = weight * gradient_scale();
  set_gradChosen(i, scaled(factor, pull + hold));
  set_gradRejected(i, scaled(factor, hold - pull));

  let agreement = sign_of(gap.high) * sign_of(preference - 0.5);
  let counts = !is_nan(gap.high) && !is_nan(preference);
  (*sums).halves += select(0u, u32(1 + agreement), counts);
  (*sums).loss = sum_add((*sums).loss, scaled(weight, term));
  (*sums).margin = sum_add_pair((*sums).margin, gap);
  (*sums).chosen = sum_add((*sums).chosen, chosen);
  (*sums).rejected = sum_add((*sums).rejected, rejected);
}
