/** Whole steps as captured sequences: from logits to their gradient, and on to the parameters. */
import type { Device } from '../../../lib/device.ts'
import {
  adamw,
  dpoLoss,
  gradNorm,
  ppoPolicyLoss,
  sequenceLogprobs,
  sequenceLogprobsBackward,
  tokenLogprobs,
  tokenLogprobsBackward,
} from '../../../lib/index.ts'
import type { Tensor } from '../../../lib/tensor.ts'
import { spread } from '../../cases/family.ts'
import { flagInput, givenInput, normalInput, squareInput } from '../data.ts'
import type { Planned, Step, Tensors, Work } from '../types.ts'
import { drawLogits } from './logits.ts'

/** The type that an op's inputs have; what is in them is checked when the call is prepared. */
type InputsOf<O extends { prepare(inputs: never, ...rest: never[]): unknown }> = Parameters<O['prepare']>[0]

/** Nothing is clipped, so that every row has a gradient and none can be skipped. */
const UNCLIPPED = { clipLow: 1, clipHigh: 1e6 }

/** Mean log-probability of a random token where logits have deviation 3. */
const meanLogprob = (V: number): number => -Math.log(V) - 4.5

const drawTokens = (cpu: Device, N: number, V: number) => ({
  ...drawLogits(cpu, N, V, 'bf16'),
  oldLogprob: normalInput(cpu, [N], { seed: 5, deviation: 0.2, mean: meanLogprob(V) }),
  advantage: normalInput(cpu, [N], { seed: 6 }),
  valid: flagInput([N], 7, 1),
})

/** Log-probabilities, the clipped loss, and the gradient of the logits: into `gradLogits`, or into memory of its own. */
const policySteps = ({ logits, tokens, oldLogprob, advantage, valid }: Tensors, gradLogits?: Tensor): Step => {
  const forward = tokenLogprobs.prepare({ logits, tokens } as InputsOf<typeof tokenLogprobs>)
  const { logprob, rowMax, logSum } = forward.outputs
  const given = { logprob, oldLogprob, advantage, valid } as InputsOf<typeof ppoPolicyLoss>
  const loss = ppoPolicyLoss.prepare(given, UNCLIPPED)
  const { gradLogprob } = loss.outputs
  const backward = tokenLogprobsBackward.prepare(
    { logits, tokens, logprob, rowMax, logSum, gradLogprob } as InputsOf<typeof tokenLogprobsBackward>,
    {},
    gradLogits === undefined ? {} : { out: { gradLogits: gradLogits as never } },
  )
  return { calls: [forward, loss, backward], outputs: { loss: loss.outputs.loss, ...backward.outputs } }
}

const ppoLossStep = (cpu: Device, N: number, V: number): Work => ({
  op: 'ppoLossStep',
  shape: `${N}x${V}`,
  dtype: 'bf16',
  inputs: drawTokens(cpu, N, V),
  options: UNCLIPPED,
  bytes: 4 * N * V,
  ceiling: 'copy',
  judged: ['loss', 'gradLogits'],
  sampled: { letters: ['gradLogits'], rows: spread(4, N) },
  tolerance: 2e-2,
  step: (_, tensors) => policySteps(tensors, tensors.logits),
  needs: ['tokenLogprobs', 'ppoPolicyLoss', 'tokenLogprobsBackward'],
  restored: ['logits'],
  peers: ['eager', 'compile'],
  goals:
    N < 1000
      ? []
      : [
          { of: 'time', measure: 'cold', atMost: 1.03, by: 'one read and one write of the logits' },
          { of: 'overhead', atMost: 0.05 },
        ],
  note: 'logits to loss to the gradient of the logits, in place',
})

const dpoLossStep = (cpu: Device, B: number, T: number, V: number): Work => {
  const { logits, tokens } = drawLogits(cpu, B * T, V, 'bf16')
  const pairs = B / 2
  const reference = { deviation: 3 * Math.sqrt(T), mean: T * meanLogprob(V) }
  return {
    op: 'dpoLossStep',
    shape: `${B}x${T}x${V}`,
    dtype: 'bf16',
    inputs: {
      logits: { ...logits, shape: [B, T, V] },
      tokens: { ...tokens, shape: [B, T] },
      refChosen: normalInput(cpu, [pairs], { seed: 5, ...reference }),
      refRejected: normalInput(cpu, [pairs], { seed: 6, ...reference }),
    },
    // Log-probabilities of whole sequences lie far apart: the loss must not be flat there.
    options: { beta: 1e-3 },
    bytes: 4 * B * T * V,
    ceiling: 'copy',
    judged: ['loss'],
    tolerance: 2e-2,
    step: (device, { logits, tokens, refChosen, refRejected }) => {
      const forward = tokenLogprobs.prepare({ logits, tokens } as InputsOf<typeof tokenLogprobs>)
      const { logprob, rowMax, logSum } = forward.outputs
      const sums = sequenceLogprobs.prepare({ logprob })
      const gradSequence = device.empty([B])
      const halves = (whole: Tensor<'f32'>) => [whole.view(0, [pairs]), whole.view(pairs, [pairs])]
      const [policyChosen, policyRejected] = halves(sums.outputs.logprob)
      const [gradPolicyChosen, gradPolicyRejected] = halves(gradSequence)
      const loss = dpoLoss.prepare(
        { policyChosen, policyRejected, refChosen, refRejected } as InputsOf<typeof dpoLoss>,
        { beta: 1e-3 },
        { out: { gradPolicyChosen, gradPolicyRejected } },
      )
      const spreadOut = sequenceLogprobsBackward.prepare({ gradSequence, like: logprob })
      const { gradLogprob } = spreadOut.outputs
      const backward = tokenLogprobsBackward.prepare(
        { logits, tokens, logprob, rowMax, logSum, gradLogprob } as InputsOf<typeof tokenLogprobsBackward>,
        {},
        { out: { gradLogits: logits as never } },
      )
      return { calls: [forward, sums, loss, spreadOut, backward], outputs: { loss: loss.outputs.loss } }
    },
    needs: ['tokenLogprobs', 'sequenceLogprobs', 'dpoLoss', 'sequenceLogprobsBackward', 'tokenLogprobsBackward'],
    restored: ['logits'],
    peers: ['eager', 'compile'],
    goals: B < 64 ? [] : [{ of: 'time', measure: 'cold', atMost: 4.1, by: 'one read and one write of the logits' }],
    note: 'logits to loss to the gradient of the logits, in place; half of the sequences are the rejected ones',
  }
}

const optimizerStep = (cpu: Device, N: number, V: number, P: number): Work => ({
  op: 'optimizerStep',
  shape: `${N}x${V}x${P}`,
  dtype: 'bf16',
  inputs: {
    ...drawTokens(cpu, N, V),
    param: normalInput(cpu, [P], { seed: 8 }),
    grad: normalInput(cpu, [P], { seed: 9, deviation: 0.01 }),
    m: normalInput(cpu, [P], { seed: 10, deviation: 0.01 }),
    v: squareInput([P], 11, 0.01),
    step: givenInput(Int32Array.of(10), 'i32'),
  },
  options: { ...UNCLIPPED, lr: 1e-4, maxNorm: 1 },
  bytes: 4 * N * V + 32 * P,
  ceiling: 'copy',
  judged: ['loss', 'gradLogits'],
  sampled: { letters: ['gradLogits'], rows: spread(4, N) },
  tolerance: 2e-2,
  step: (_, tensors) => {
    const { calls, outputs } = policySteps(tensors)
    const { param, grad, m, v, step } = tensors
    const norm = gradNorm.prepare({ grad } as InputsOf<typeof gradNorm>)
    const update = adamw.prepare({ param, grad, m, v, step, norm: norm.outputs.norm } as InputsOf<typeof adamw>, {
      lr: 1e-4,
      maxNorm: 1,
    })
    return { calls: [...calls, norm, update], outputs }
  },
  needs: ['tokenLogprobs', 'ppoPolicyLoss', 'tokenLogprobsBackward', 'gradNorm', 'adamw'],
  peers: ['eager'],
  goals: N < 1000 ? [] : [{ of: 'time', measure: 'enqueue', atMost: 3e-3, by: 'one call that replays a graph' }],
  note: 'logits to their gradient, then the norm of the parameters’ gradient and AdamW: five ops',
})

export const stepCases = (cpu: Device, tiny: boolean): Planned[] => {
  const plan = (op: string, shape: readonly number[], make: () => Work): Planned => ({
    op,
    shape: shape.join('x'),
    dtype: 'bf16',
    make,
  })
  const [N, V] = tiny ? [4, 40] : [8192, 128256]
  const [B, T, W] = tiny ? [4, 3, 24] : [64, 2048, 32000]
  const [n, v, P] = tiny ? [4, 40, 100] : [2048, 32000, 1_000_000]
  return [
    plan('ppoLossStep', [N, V], () => ppoLossStep(cpu, N, V)),
    plan('dpoLossStep', [B, T, W], () => dpoLossStep(cpu, B, T, W)),
    plan('optimizerStep', [n, v, P], () => optimizerStep(cpu, n, v, P)),
  ]
}
