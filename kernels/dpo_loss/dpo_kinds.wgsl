// The loss of one pair and its derivatives; formulas in dpo_loss.h. Each is written from the side that neither
// overflows nor cancels: 1 - s(x) as s(-x), e^-x s(x / t) as one exponential. Log-ratios and margins are Pairs.

// Codes of `kind`; what is left is sigmoid-norm: sigmoid on log-ratios per token.
const SIGMOID = 0u;
const ROBUST = 1u;
const HINGE = 2u;
const IPO = 3u;
const EXO_PAIR = 4u;
const NCA_PAIR = 5u;
const BCO_PAIR = 6u;
const SPPO_HARD = 7u;
const APO_ZERO = 8u;
const APO_DOWN = 9u;
const DISCOPOP = 10u;

struct Term {
  loss: f32,
  by_chosen: f32,
  by_rejected: f32,
}

// A loss of x alone, x = beta (c - q).
fn of_margin(loss: f32, slope: f32) -> Term {
  return Term(loss, args.beta * slope, -(args.beta * slope));
}
fn negative_of(x: Pair) -> Pair {
  return Pair(-x.high, -x.low);
}
fn slope_of(s: Logistic) -> f32 {
  return s.up * s.down;
}

fn sigmoid_term(x: Pair, right: f32, wrong: f32) -> Term {
  let s = logistic(x);
  let loss = scaled(right, -s.log_up) + scaled(wrong, -s.log_down);
  return of_margin(loss, wrong * s.up - right * s.down);
}
fn robust_term(x: Pair, right: f32, wrong: f32) -> Term {
  let s = logistic(x);
  let over = right - wrong;
  let loss = scaled(right, -s.log_up) + scaled(wrong, s.log_down);
  return of_margin(loss / over, -(right * s.down + wrong * s.up) / over);
}
fn hinge_term(x: Pair) -> Term {
  let gap = value_of(pair_subtract(Pair(1.0, 0.0), x));
  if (is_nan(gap)) {
    return of_margin(gap, gap);
  }
  if (is_negative(gap) || is_zero(gap)) {
    return of_margin(0.0, 0.0);
  }
  return of_margin(gap, -1.0);
}
fn ipo_term(apart: Pair, goal: Pair) -> Term {
  let off = value_of(pair_subtract(apart, goal));
  return Term(off * off, 2.0 * off, -2.0 * off);
}
fn exo_term(x: Pair) -> Term {
  let s = logistic(x);
  let log_right = log1p_of(-args.smoothing);
  let log_wrong = log_of(args.smoothing);
  let loss = scaled(s.up, s.log_up - log_right) + scaled(s.down, s.log_down - log_wrong);
  return of_margin(loss, scaled(slope_of(s), value_of(x) - (log_right - log_wrong)));
}
fn nca_term(c: Pair, q: Pair) -> Term {
  let chosen = logistic(c);
  let rejected = logistic(q);
  let loss = -chosen.log_up - 0.5 * (chosen.log_down + rejected.log_down);
  return Term(loss, args.beta * (0.5 * chosen.up - chosen.down), 0.5 * args.beta * rejected.up);
}
fn bco_term(c: Pair, q: Pair) -> Term {
  let shift = Pair(args.rewardShift, args.rewardShift_low);
  let chosen = logistic(pair_subtract(c, shift));
  let rejected = logistic(pair_subtract(q, shift));
  return Term(-chosen.log_up - rejected.log_down, -(args.beta * chosen.down), args.beta * rejected.up);
}
fn sppo_term(c: Pair, q: Pair, goal: Pair) -> Term {
  let chosen = value_of(pair_subtract(c, goal));
  let rejected = value_of(pair_add(q, goal));
  return Term(chosen * chosen + rejected * rejected, 2.0 * chosen, 2.0 * rejected);
}
fn apo_zero_term(c: Pair, q: Pair) -> Term {
  let chosen = logistic(c);
  let rejected = logistic(q);
  return Term(chosen.down + rejected.up, -(args.beta * slope_of(chosen)), args.beta * slope_of(rejected));
}
fn apo_down_term(c: Pair, x: Pair) -> Term {
  let chosen = logistic(c);
  let margin = logistic(x);
  let by_margin = args.beta * slope_of(margin);
  return Term(chosen.up + margin.down, args.beta * slope_of(chosen) - by_margin, by_margin);
}
fn discopop_term(x: Pair) -> Term {
  let temperature = Pair(args.temperature, args.temperature_low);
  let s = logistic(x);
  let mix = logistic(pair_divide(x, temperature));
  // e^-x m as one exponential: for x < 0 its exponent is x (1 / temperature - 1) - log(1 + e^(x / temperature)).
  let negative = is_negative(x.high);
  var exponent = negative_of(x);
  if (negative) {
    let over = pair_subtract(Pair(1.0, 0.0), temperature);
    exponent = pair_multiply(x, pair_divide(over, temperature));
  }
  exponent = pair_add(exponent, Pair(select(mix.log_up, mix.log_down, negative), 0.0));
  let whole = exp_of(exponent.high);
  let steep = select(whole, fma(whole, exponent.low, whole), is_finite(whole));
  let cool = 1.0 / args.temperature;
  let slope = scaled(mix.down * cool - 1.0, steep) + scaled(slope_of(mix), s.log_up) * cool - s.down * mix.down;
  return of_margin(steep - scaled(mix.down, s.log_up), slope);
}

fn term_of(c: Pair, q: Pair) -> Term {
  let beta = Pair(args.beta, args.beta_low);
  let apart = pair_subtract(c, q);
  let x = pair_multiply(beta, apart);
  let chosen = pair_multiply(beta, c);
  let rejected = pair_multiply(beta, q);
  let goal = pair_divide(Pair(0.5, 0.0), beta);
  let wrong = args.smoothing;
  let right = value_of(pair_subtract(Pair(1.0, 0.0), Pair(args.smoothing, args.smoothing_low)));
  switch args.kind {
    case ROBUST: {
      return robust_term(x, right, wrong);
    }
    case HINGE: {
      return hinge_term(x);
    }
    case IPO: {
      return ipo_term(apart, goal);
    }
    case EXO_PAIR: {
      return exo_term(x);
    }
    case NCA_PAIR: {
      return nca_term(chosen, rejected);
    }
    case BCO_PAIR: {
      return bco_term(chosen, rejected);
    }
    case SPPO_HARD: {
      return sppo_term(c, q, goal);
    }
    case APO_ZERO: {
      return apo_zero_term(chosen, rejected);
    }
    case APO_DOWN: {
      return apo_down_term(chosen, x);
    }
    case DISCOPOP: {
      return discopop_term(x);
    }
    default: {
      return sigmoid_term(x, right, wrong);
    }
  }
}
