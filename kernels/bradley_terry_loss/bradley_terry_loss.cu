// See bradley_terry_loss.h for the formula.
//   bradley_terry_loss   reads 4 B per input and pair, writes 8 B: the least there is; and 40 B of sums per 256 pairs
#include "../common/pair_loss.cuda.h"
#include "bradley_terry_loss.launch.h"

namespace prefgrad {

PREFGRAD_KERNEL(bradley_terry_loss, BradleyTerryLoss, kPairThreads) {
  const double scale = a.grad_scale / pair_denominator(a);
  pair_loss(a, [&](int64_t i) -> PairSums {
    const double chosen = a.chosen[i], rejected = a.rejected[i];
    double preference = pair_input(a.preference, i, 1.0);
    if (!(0.0 <= preference && preference <= 1.0)) {
      a.fault->report(3, i);
      preference = static_cast<double>(nan_f32());
    }
    const double gap = chosen - rejected, total = chosen + rejected;
    const double p = (1.0 - a.label_smoothing) * preference + a.label_smoothing * (1.0 - preference);
    const double w = pair_input(a.weight, i, 1.0);
    // A side of weight 0 is left out, so that an infinite score difference in its favour costs nothing.
    const PairLogistic s = pair_logistic(gap - pair_input(a.margin, i, 0.0));
    const double first = p == 0.0 ? 0.0 : p * s.log_up, second = p == 1.0 ? 0.0 : (1.0 - p) * s.log_down;
    // sigmoid(d) - p, without cancellation where both are near 1.
    const double pull = (1.0 - p) * s.up - p * s.down, hold = 2.0 * a.center_coefficient * total;
    pair_output(a.grad_chosen, i, w * scale * (pull + hold), (a.accumulate & 2) != 0);
    pair_output(a.grad_rejected, i, w * scale * (hold - pull), (a.accumulate & 4) != 0);
    const bool undecided = gap == 0.0 || p == 0.5;
    const bool agree = (gap > 0.0 && p > 0.5) || (gap < 0.0 && p < 0.5);
    return {w * (a.center_coefficient * total * total - first - second), undecided ? 0.5 : agree ? 1.0 : 0.0, gap, chosen,
            rejected};
  });
}

}  // namespace prefgrad
