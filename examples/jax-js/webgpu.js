/**
 * The same on the GPU: prefgrad runs on the GPUDevice of jax-js and reads the scores in its buffer, with no copy. jax-js takes no
 * foreign buffer, so that the gradient of the scores, two numbers a pair, goes back as an array.
 */
import { create, globals } from 'webgpu'

// In a browser all this is there.
const gpu = create([])
Object.assign(globalThis, globals, { self: globalThis })
Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'node' }, configurable: true })

const { getWebGPUDevice, init, defaultDevice, numpy: np, vjp } = await import('@jax-js/jax')
const { bradleyTerryLoss, openDevice } = await import('prefgrad/webgpu')
const { makePairs } = await import('./pairs.js')

await init('webgpu')
defaultDevice('webgpu')
const device = await openDevice('webgpu', { device: getWebGPUDevice() })

const [PAIRS, FEATURES, HIDDEN] = [64, 8, 16]
const pairs = makePairs(PAIRS, FEATURES)
const x = np.array([...pairs.chosen, ...pairs.rejected])
const start = (rows, columns, seed) =>
  Array.from({ length: rows }, (_, r) =>
    Array.from({ length: columns }, (_, c) => 0.3 * Math.sin(1 + seed + 12.9898 * r + 78.233 * c)),
  )
let weights = { hidden: np.array(start(FEATURES, HIDDEN, 1)), head: np.array(start(HIDDEN, 1, 2)) }
const scoresOf = (hidden, head) => np.matmul(np.tanh(np.matmul(x.ref, hidden)), head).reshape([2 * PAIRS])

const gradScores = device.empty([2 * PAIRS])
for (let step = 0; step <= 60; step++) {
  const [scores, back] = vjp(scoresOf, [weights.hidden.ref, weights.head.ref])
  const both = device.wrap(await scores.gpuBuffer(), [2 * PAIRS], 'f32')
  const { loss } = bradleyTerryLoss(
    { chosen: both.view(0, [PAIRS]), rejected: both.view(PAIRS, [PAIRS]) },
    { centerCoefficient: 0.01 },
    { out: { gradChosen: gradScores.view(0, [PAIRS]), gradRejected: gradScores.view(PAIRS, [PAIRS]) } },
  )
  const [value, gradient, last] = await device.read([loss, gradScores, both])
  const [gradHidden, gradHead] = back(np.array(gradient))
  back.dispose?.()
  weights = { hidden: weights.hidden.sub(gradHidden.mul(4)), head: weights.head.sub(gradHead.mul(4)) }
  if (step % 20 === 0) console.log(`step ${step}  loss ${value[0].toFixed(4)}`)
  if (step === 60) {
    let right = 0
    for (let p = 0; p < PAIRS; p++) right += last[p] > last[PAIRS + p] ? 1 : 0
    console.log(`${((100 * right) / PAIRS).toFixed(0)} % of the pairs right, on ${device.name}`)
  }
}
