/**
 * A jax-js model trained by prefgrad's Bradley-Terry loss: `vjp` gives the scores and a function that takes the gradient of the
 * scores back to the parameters; the loss in between is prefgrad's.
 */
import { init, numpy as np, vjp } from '@jax-js/jax'
import { bradleyTerryLoss } from 'prefgrad'
import { makePairs } from './pairs.js'

await init('wasm')

const [PAIRS, FEATURES, HIDDEN] = [64, 8, 16]
const pairs = makePairs(PAIRS, FEATURES)
const x = np.array([...pairs.chosen, ...pairs.rejected])

/** Small weights that are the same every time. */
const start = (rows, columns, seed) =>
  Array.from({ length: rows }, (_, r) =>
    Array.from({ length: columns }, (_, c) => 0.3 * Math.sin(1 + seed + 12.9898 * r + 78.233 * c)),
  )
let weights = { hidden: np.array(start(FEATURES, HIDDEN, 1)), head: np.array(start(HIDDEN, 1, 2)) }

const scoresOf = (hidden, head) => np.matmul(np.tanh(np.matmul(x.ref, hidden)), head).reshape([2 * PAIRS])

for (let step = 0; step <= 200; step++) {
  const [scores, back] = vjp(scoresOf, [weights.hidden.ref, weights.head.ref])
  const both = await scores.data()
  const { loss, gradChosen, gradRejected } = bradleyTerryLoss(
    { chosen: both.subarray(0, PAIRS), rejected: both.subarray(PAIRS) },
    { centerCoefficient: 0.01 },
  )
  const upstream = np.array([...gradChosen.data, ...gradRejected.data])
  const [gradHidden, gradHead] = back(upstream)
  back.dispose?.()
  weights = { hidden: weights.hidden.sub(gradHidden.mul(4)), head: weights.head.sub(gradHead.mul(4)) }
  if (step % 50 === 0) console.log(`step ${step}  loss ${loss.item().toFixed(4)}`)
  if (step === 200) {
    let right = 0
    for (let p = 0; p < PAIRS; p++) right += both[p] > both[PAIRS + p] ? 1 : 0
    console.log(`${((100 * right) / PAIRS).toFixed(0)} % of the pairs right`)
  }
}
