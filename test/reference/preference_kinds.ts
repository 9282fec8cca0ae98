/** The pairwise losses of dpoLoss: for every kind the summands of the loss of one pair, and of its derivatives. */
import { logSigmoid, sigmoid, softplus } from './numbers.ts'

export interface PairSettings {
  beta: number
  /** Label smoothing. */
  smoothing: number
  /** What 'bco-pair' subtracts from both rewards. */
  shift: number
  /** Temperature of 'discopop'. */
  temperature: number
}

/** Summands, so that a reader can tell what cancels: the loss, and its derivatives by c and by q. */
export interface PairTerms {
  loss: number[]
  byChosen: number[]
  byRejected: number[]
}

/** c: log-ratio of the chosen completion, q: of the rejected one (per token where lengths normalise). */
type Kind = (c: number, q: number, settings: PairSettings) => PairTerms

/** A loss f(beta (c - q)) given by summands of f and of f'. */
const ofMargin =
  (f: (x: number, settings: PairSettings) => number[], slope: (x: number, settings: PairSettings) => number[]): Kind =>
  (c, q, settings) => {
    const x = settings.beta * (c - q)
    const byChosen = slope(x, settings).map((term) => settings.beta * term)
    return { loss: f(x, settings), byChosen, byRejected: byChosen.map((term) => -term) }
  }

/** s'(x) = s(x) s(-x). */
const sigmoidSlope = (x: number): number => sigmoid(x) * sigmoid(-x)

/** Rafailov et al. 2023 (arXiv:2305.18290) eq. 7; with smoothing cDPO: -(1 - e) log s(x) - e log s(-x). */
const sigmoidKind = ofMargin(
  (x, { smoothing: e }) => [(1 - e) * softplus(-x), e * softplus(x)],
  (x, { smoothing: e }) => [-(1 - e) * sigmoid(-x), e * sigmoid(x)],
)

/** arXiv:2403.00409: [-(1 - e) log s(x) + e log s(-x)] / (1 - 2e). */
const robust = ofMargin(
  (x, { smoothing: e }) => [((1 - e) * softplus(-x)) / (1 - 2 * e), (-e * softplus(x)) / (1 - 2 * e)],
  (x, { smoothing: e }) => [(-(1 - e) * sigmoid(-x)) / (1 - 2 * e), (-e * sigmoid(x)) / (1 - 2 * e)],
)

/** SLiC (arXiv:2305.10425): max(0, 1 - x); at the hinge itself the margin is reached and nothing pulls. */
const hinge = ofMargin(
  (x) => [Math.max(0, 1 - x)],
  (x) => [x < 1 ? -1 : 0],
)

/** IPO (arXiv:2310.12036) eq. 17: (D - 1 / (2 beta))^2. */
const ipo: Kind = (c, q, { beta }) => {
  const error = c - q - 1 / (2 * beta)
  return { loss: [error ** 2], byChosen: [2 * error], byRejected: [-2 * error] }
}

/**
 * EXO (arXiv:2402.00856): the reverse KL s(x) [log s(x) - log(1 - e)] + s(-x) [log s(-x) - log e]. As log s(x) -
 * log s(-x) = x, its derivative is s'(x) (x - log((1 - e) / e)).
 */
const exo = ofMargin(
  (x, { smoothing: e }) => [
    sigmoid(x) * logSigmoid(x),
    -sigmoid(x) * Math.log1p(-e),
    sigmoid(-x) * logSigmoid(-x),
    -sigmoid(-x) * Math.log(e),
  ],
  (x, { smoothing: e }) => [sigmoidSlope(x) * x, -sigmoidSlope(x) * (Math.log1p(-e) - Math.log(e))],
)

/** NCA (arXiv:2402.05369): -log s(bc) - log s(-bc) / 2 - log s(-bq) / 2. */
const nca: Kind = (c, q, { beta }) => ({
  loss: [softplus(-beta * c), softplus(beta * c) / 2, softplus(beta * q) / 2],
  byChosen: [-beta * sigmoid(-beta * c), (beta * sigmoid(beta * c)) / 2],
  byRejected: [(beta * sigmoid(beta * q)) / 2],
})

/** BCO (arXiv:2404.04656): -log s(bc - shift) - log s(-(bq - shift)). */
const bco: Kind = (c, q, { beta, shift }) => ({
  loss: [softplus(shift - beta * c), softplus(beta * q - shift)],
  byChosen: [-beta * sigmoid(shift - beta * c)],
  byRejected: [beta * sigmoid(beta * q - shift)],
})

/** SPPO (arXiv:2405.00675): (c - 1 / (2 beta))^2 + (q + 1 / (2 beta))^2. */
const sppo: Kind = (c, q, { beta }) => {
  const half = 1 / (2 * beta)
  return { loss: [(c - half) ** 2, (q + half) ** 2], byChosen: [2 * (c - half)], byRejected: [2 * (q + half)] }
}

/** APO (arXiv:2408.06266), zero: 1 - s(bc) + s(bq). */
const apoZero: Kind = (c, q, { beta }) => ({
  loss: [sigmoid(-beta * c), sigmoid(beta * q)],
  byChosen: [-beta * sigmoidSlope(beta * c)],
  byRejected: [beta * sigmoidSlope(beta * q)],
})

/** APO, down: s(bc) + 1 - s(b (c - q)). */
const apoDown: Kind = (c, q, { beta }) => {
  const x = beta * (c - q)
  return {
    loss: [sigmoid(beta * c), sigmoid(-x)],
    byChosen: [beta * sigmoidSlope(beta * c), -beta * sigmoidSlope(x)],
    byRejected: [beta * sigmoidSlope(x)],
  }
}

/**
 * DiscoPOP (arXiv:2406.08414): -log s(x) (1 - m) + e^-x m with m = s(x / temperature), m' = m (1 - m) / temperature.
 * e^-x m is taken in one exponential: either factor alone overflows or vanishes.
 */
const discopop = ofMargin(
  (x, { temperature: t }) => [softplus(-x) * sigmoid(-x / t), Math.exp(logSigmoid(x / t) - x)],
  (x, { temperature: t }) => {
    const rest = sigmoid(-x / t)
    return [
      -sigmoid(-x) * rest,
      (logSigmoid(x) * sigmoid(x / t) * rest) / t,
      Math.exp(logSigmoid(x / t) - x) * (rest / t - 1),
    ]
  },
)

export const KINDS: Record<string, Kind> = {
  sigmoid: sigmoidKind,
  robust,
  hinge,
  ipo,
  'exo-pair': exo,
  'nca-pair': nca,
  'bco-pair': bco,
  'sppo-hard': sppo,
  'apo-zero': apoZero,
  'apo-down': apoDown,
  discopop,
  // Length-normalised DPO: c and q arrive as means per token.
  'sigmoid-norm': sigmoidKind,
}
