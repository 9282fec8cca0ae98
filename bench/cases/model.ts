/** The built-in policy at the demo's size, fresh weights: tokens a second in training, forward passes and sampling. */
import type { Device } from '../../lib/device.ts'
import { tokenLogprobs, tokenLogprobsBackward } from '../../lib/index.ts'
import { DEMO_CONFIG } from '../../lib/model/config.ts'
import { type PolicyBatch, TransformerPolicy } from '../../lib/model/policy.ts'
import { AdamW } from '../../lib/optim/adamw.ts'
import { Random } from '../../lib/random.ts'
import type { Tensor } from '../../lib/tensor.ts'
import { integers } from '../data.ts'
import type { Work } from '../types.ts'
import { type Family, shapeText } from './family.ts'
import { forwardOperations } from './step_models.ts'

type Call = (device: Device) => () => void | Promise<void>

const createPolicy = (device: Device): TransformerPolicy => TransformerPolicy.create(device, DEMO_CONFIG, new Random(7))

/** B packed sequences of T tokens, the logits of every row wanted. */
const batchOf = (device: Device, B: number, T: number): PolicyBatch & { targets: Tensor<'i32'> } => {
  const N = B * T
  return {
    ids: device.tensor(integers(N, 1, DEMO_CONFIG.vocabularySize)),
    offsets: device.tensor(Int32Array.from({ length: B + 1 }, (_, b) => b * T)),
    rows: device.tensor(Int32Array.from({ length: N }, (_, i) => i)),
    targets: device.tensor(integers(N, 2, DEMO_CONFIG.vocabularySize)),
  }
}

const family = (
  op: string,
  shapes: readonly (readonly number[])[],
  goal: number,
  operationsOf: (B: number, T: number) => number,
  callOf: (B: number, T: number) => Call,
): Family => ({
  op,
  letters: 'BxT',
  dtypes: ['f32'],
  cases: shapes.map((shape, i) => ({ shape, representative: i === 0 })),
  make: (shape): Work => ({
    op,
    shape: shapeText(shape),
    dtype: 'f32',
    inputs: {},
    options: {},
    unit: 'tokens/s',
    amount: shape[0] * shape[1],
    operations: operationsOf(shape[0], shape[1]),
    ceiling: { kind: 'multiplyAdd' },
    judged: [],
    tolerance: 0,
    variants: ['prepared'],
    goals: [{ of: 'rate', atLeast: goal, threads: 2 }],
    note: 'the demo configuration, about 1.06 million parameters',
    drive: (device) => ({ call: callOf(shape[0], shape[1])(device) }),
  }),
})

/** The logits of every row are wanted. */
const forward = (B: number, T: number): number =>
  forwardOperations(DEMO_CONFIG, { sequences: B, length: T, rows: B * T })

/** Forward, loss, backward, clipped AdamW step. */
export const modelTraining = family(
  'modelTraining',
  [
    [64, 64],
    [16, 256],
  ],
  14_000,
  (B, T) => 3 * forward(B, T),
  (B, T) => (device) => {
    const policy = createPolicy(device)
    const batch = batchOf(device, B, T)
    const optimizer = new AdamW(policy.parameters(), policy.gradients)
    const gradLogprob = device.tensor(new Float32Array(B * T).fill(-1 / (B * T)))
    return () => {
      policy.zeroGradients()
      const { logits, context } = policy.forward(batch, true)
      const { logprob, rowMax, logSum } = tokenLogprobs({ logits, tokens: batch.targets })
      const gradient = { logits, tokens: batch.targets, logprob, rowMax, logSum, gradLogprob }
      tokenLogprobsBackward(gradient, {}, { out: { gradLogits: logits } })
      policy.backward(context, { gradLogits: logits })
      optimizer.update(1e-4)
    }
  },
)

export const modelForward = family(
  'modelForward',
  [
    [64, 64],
    [16, 256],
  ],
  40_000,
  forward,
  (B, T) => (device) => {
    const policy = createPolicy(device)
    const batch = batchOf(device, B, T)
    return () => {
      const { logits } = policy.forward(batch)
      tokenLogprobs({ logits, tokens: batch.targets })
    }
  },
)

const PROMPT = 16

/** B prompts of 16 tokens, T more sampled for each; the last of them is never read. */
export const modelSampling = family(
  'modelSampling',
  [[128, 48]],
  20_000,
  (B, T) => forwardOperations(DEMO_CONFIG, { sequences: B, length: PROMPT + T - 1, rows: B * T }),
  (B, T) => (device) => {
    const policy = createPolicy(device)
    const prompts = Array.from({ length: B }, (_, b) => integers(PROMPT, b, DEMO_CONFIG.vocabularySize))
    return async () => {
      await policy.generate(prompts, { maxTokens: T, temperature: 1, seed: 1, batchSize: B })
    }
  },
)
