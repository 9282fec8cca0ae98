/** Whole optimizer steps of the built-in policy, by the trainers' own code: forward, loss, backward, clipping, AdamW. */
import { type EncodedExample, type EncodedPair, packPairs, packSequences } from '../../lib/data/index.ts'
import type { Device } from '../../lib/device.ts'
import { readStats } from '../../lib/index.ts'
import type { ModelConfig } from '../../lib/model/config.ts'
import { AdamW } from '../../lib/optim/adamw.ts'
import { dpo } from '../../lib/train/dpo.ts'
import { type PpoStep, ppoStep, type RoundTotals } from '../../lib/train/ppo_step.ts'
import type { Rollout } from '../../lib/train/rollouts.ts'
import { f32, integers, normals } from '../data.ts'
import type { Driven, Goal, Work } from '../types.ts'
import { type Family, type FamilyCase, shapeText } from './family.ts'
import {
  batchInputs,
  configOf,
  configOptions,
  forwardOperations,
  gradientsOf,
  responsesOf,
  seededPolicy,
  weightsOf,
} from './step_models.ts'

/** Small, so that a thousand steps leave the weights where they were. */
const OPTIMIZER = { lr: 1e-6, weightDecay: 0.01, maxNorm: 1 }
const PPO = { clipLow: 0.2, clipHigh: 0.2, valueClip: 0.2, valueCoefficient: 0.1 }
const DPO = { beta: 0.1 }
const WEIGHTS = 100
const REFERENCE = 200

/** A quarter of each sequence is its prompt. */
const promptLength = (T: number): number => Math.max(1, Math.floor(T / 4))

const examplesOf = (count: number, T: number, { vocabularySize }: ModelConfig, seed: number): EncodedExample[] =>
  Array.from({ length: count }, (_, b) => ({
    tokens: integers(T, seed + b, vocabularySize),
    promptLength: promptLength(T),
  }))

/** Rollouts of a policy that has moved a little since: some ratios and values are clipped. */
const rolloutsOf = (cpu: Device, config: ModelConfig, B: number, T: number): Rollout[] => {
  const policy = seededPolicy(cpu, config, { seed: WEIGHTS, valueHead: true })
  const examples = examplesOf(B, T, config, 1)
  const { logprob, values, starts } = responsesOf(policy, packSequences(examples))
  policy.dispose()
  const moved = (of: Float32Array, seed: number, by = 0): Float32Array =>
    normals(of.length, seed, 0.15, by).map((change, i) => of[i] + change)
  const old = { logprob: moved(logprob, 2), value: moved(values!, 3) }
  // Neither is 0 on average: a loss that is a small difference of large numbers would be compared by its roundings.
  const advantage = normals(logprob.length, 4, 1, 0.5)
  const returns = moved(old.value, 5, 0.5)
  return examples.map((example, b) => {
    const own = (of: Float32Array): Float32Array => of.slice(starts[b], starts[b + 1])
    return {
      ...example,
      ended: true,
      score: 0,
      oldLogprob: own(old.logprob),
      oldValue: own(old.value),
      advantage: own(advantage),
      returns: own(returns),
    }
  })
}

const drivePpo = (device: Device, config: ModelConfig, list: readonly Rollout[]): Driven => {
  const policy = seededPolicy(device, config, { seed: WEIGHTS, valueHead: true })
  const { lr, ...settings } = OPTIMIZER
  const optimizer = new AdamW(policy.parameters(), policy.gradients, settings)
  const totals: RoundTotals = { entropy: 0, tokens: 0, nll: 0, nllTokens: 0, gradNorm: 0, refused: 0 }
  // What a round has beside its steps is not asked for.
  const options = { ...PPO, lr, iterations: 1, maxNewTokens: 1, endOfText: 0, decode: () => '' }
  let step: PpoStep | undefined
  return {
    async call() {
      step = await ppoStep(policy, optimizer, { list, texts: [], lr }, options, totals)
    },
    outputs: () => ({
      policyLoss: [readStats(step!.policy).loss],
      valueLoss: [readStats(step!.value).loss],
      gradNorm: [totals.gradNorm],
      ...gradientsOf(policy),
    }),
    dispose() {
      optimizer.dispose()
      policy.dispose()
    },
  }
}

/** The trainer itself, one batch of all pairs a step; what it asks the reference once comes with its first step. */
const driveDpo = (device: Device, config: ModelConfig, pairs: readonly EncodedPair[]): Driven => {
  const policy = seededPolicy(device, config, { seed: WEIGHTS })
  const reference = seededPolicy(device, config, { seed: REFERENCE })
  const forever = { epochs: 1e9, schedule: 'constant', warmupRatio: 0 } as const
  const steps = dpo(policy, reference, pairs, { ...OPTIMIZER, ...DPO, ...forever, batchSize: pairs.length })
  let record: Record<string, number> | undefined
  return {
    async call() {
      const isFirst = record === undefined
      const { value } = await steps.next()
      record = value!
      if (isFirst) reference.dispose()
    },
    outputs: () => ({ loss: [record!.loss], gradNorm: [record!.grad_norm], ...gradientsOf(policy) }),
    async dispose() {
      await steps.return()
      policy.dispose()
    },
  }
}

const pairsOf = (config: ModelConfig, B: number, T: number): EncodedPair[] => {
  const chosen = examplesOf(B, T, config, 1)
  return examplesOf(B, T, config, 1 + B).map((rejected, b) => {
    rejected.tokens.set(chosen[b].tokens.subarray(0, promptLength(T)))
    return { chosen: chosen[b], rejected, preference: 1, margin: 0, weight: 1 }
  })
}

/** Log-probability of each whole response. */
const sumsOf = (device: Device, config: ModelConfig, pairs: readonly EncodedPair[]): Float32Array<ArrayBuffer> => {
  const reference = seededPolicy(device, config, { seed: REFERENCE })
  const { logprob, starts } = responsesOf(reference, packPairs(pairs))
  reference.dispose()
  const sum = (part: Float32Array): number => part.reduce((total, x) => total + x, 0)
  return Float32Array.from({ length: 2 * pairs.length }, (_, b) => sum(logprob.subarray(starts[b], starts[b + 1])))
}

/** What a step is compared by. */
type Judged = Pick<Work, 'inputs' | 'options' | 'judged' | 'drive'>

const goalOf = (millions: number): Goal[] =>
  millions === 0 ? [] : [{ of: 'peer', names: ['torch-openblas', 'torch'], atLeast: millions < 30 ? 2 : 1, threads: 2 }]

const family = (
  op: string,
  cases: readonly FamilyCase[],
  /** Of how many sequences each of the B is made. */
  sequences: number,
  note: string,
  judge: (device: Device, config: ModelConfig, B: number, T: number) => Judged,
): Family => ({
  op,
  letters: 'MxBxT',
  dtypes: ['f32'],
  cases,
  make([millions, B, T], _, device): Work {
    const config = configOf(millions)
    const { options, ...judged } = judge(device, config, B, T)
    const rows = sequences * B * (T - promptLength(T))
    return {
      op,
      shape: shapeText([millions, B, T]),
      dtype: 'f32',
      ...judged,
      options: { ...configOptions(config), ...OPTIMIZER, ...options },
      unit: 'tokens/s',
      amount: sequences * B * T,
      operations: 3 * forwardOperations(config, { sequences: sequences * B, length: T, rows }),
      ceiling: { kind: 'multiplyAdd' },
      judgedBy: 'prefgrad',
      tolerance: 1e-4,
      peerGemm: 0.5,
      // A short step of the large model is nearly all matrix products, which no compiler changes.
      compiled: millions < 30 || sequences * B * T > 512,
      variants: ['prepared'],
      goals: goalOf(millions),
      note,
    }
  },
})

export const ppoStepFamily = family(
  'ppoStep',
  [
    { shape: [1, 64, 64], representative: true },
    { shape: [1, 16, 256] },
    { shape: [30, 4, 128], representative: true },
    { shape: [30, 8, 128] },
  ],
  1,
  'M million parameters, B rollouts of T tokens, three quarters of them responses; no sequence is padded; ' +
    'only prefgrad also makes entropy and statistics',
  (device, config, B, T) => {
    const list = rolloutsOf(device, config, B, T)
    const policy = seededPolicy(device, config, { seed: WEIGHTS, valueHead: true })
    const weights = weightsOf(policy)
    policy.dispose()
    const column = (of: (rollout: Rollout) => Float32Array) =>
      f32(Float32Array.from(list.flatMap((one) => [...of(one)])))
    return {
      inputs: {
        ...weights,
        ...batchInputs(packSequences(list)),
        oldLogprob: column(({ oldLogprob }) => oldLogprob),
        oldValue: column(({ oldValue }) => oldValue),
        advantage: column(({ advantage }) => advantage),
        returns: column(({ returns }) => returns),
      },
      options: PPO,
      judged: ['policyLoss', 'valueLoss', 'gradNorm', ...Object.keys(weights)],
      drive: (on) => drivePpo(on, config, list),
    }
  },
)

export const dpoStepFamily = family(
  'dpoStep',
  [{ shape: [1, 32, 64], representative: true }, { shape: [1, 8, 256] }, { shape: [30, 4, 128] }],
  2,
  'M million parameters, B pairs of 2 x T tokens, three quarters of them responses; no sequence is padded; ' +
    'log-probabilities of the reference are given',
  (device, config, B, T) => {
    const pairs = pairsOf(config, B, T)
    const policy = seededPolicy(device, config, { seed: WEIGHTS })
    const weights = weightsOf(policy)
    policy.dispose()
    const sums = sumsOf(device, config, pairs)
    return {
      inputs: {
        ...weights,
        ...batchInputs(packPairs(pairs)),
        refChosen: f32(sums.slice(0, B)),
        refRejected: f32(sums.slice(B)),
      },
      options: DPO,
      judged: ['loss', 'gradNorm', ...Object.keys(weights)],
      drive: (on) => driveDpo(on, config, pairs),
    }
  },
)
