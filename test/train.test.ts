import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EncodedPair, EncodedPrompt, EncodedSft } from '../lib/data/index.ts'
import { type Device, openDevice } from '../lib/index.ts'
import { checkConfig, RewardModel, TransformerPolicy } from '../lib/model/index.ts'
import { Random } from '../lib/random.ts'
import {
  dpo,
  evaluateReward,
  KlController,
  type PpoRecord,
  ppo,
  RunningMoments,
  reward,
  type Snapshot,
  type SnapshotStore,
  schedule,
  sft,
} from '../lib/train/index.ts'

const config = checkConfig({ vocabularySize: 16, width: 32, layers: 1, heads: 2, hidden: 64, contextLength: 24 })
const END = 0

const last = async <T>(records: AsyncIterable<T>): Promise<{ first: T; last: T; all: T[] }> => {
  const all: T[] = []
  for await (const record of records) all.push(record)
  return { first: all[0], last: all[all.length - 1], all }
}
const open = (): Promise<Device> => openDevice('cpu', { threads: 2 })
const fresh = (device: Device, seed = 1): TransformerPolicy =>
  TransformerPolicy.create(device, config, new Random(seed))

/** Counting upward from a random token: the next token is always known. */
const counting = (random: Random, length = 10): EncodedSft => {
  const start = random.integer(15)
  return { tokens: Int32Array.from({ length }, (_, t) => 1 + ((start + t) % 15)), promptLength: 1, weight: 1 }
}

test('sft learns a text that can be known, and micro-batches add up to the whole batch', async () => {
  const device = await open()
  const random = new Random(2)
  const examples = Array.from({ length: 64 }, () => counting(random, 6 + random.integer(6)))
  const policy = fresh(device)
  const { first, last: end } = await last(sft(policy, examples, { lr: 1e-2, batchSize: 16, epochs: 20 }))
  assert.ok(first.loss > 2.5 && end.loss < 0.05, `loss ${first.loss} -> ${end.loss}`)

  const step = async (maxTokens: number): Promise<Float32Array> => {
    const copy = fresh(device)
    await last(sft(copy, examples, { lr: 1e-3, batchSize: 64, epochs: 1, maxTokens }))
    return copy.gradients.data
  }
  const [whole, parts] = [await step(16384), await step(60)]
  const scale = Math.max(...whole.map(Math.abs))
  whole.forEach((g, i) => void assert.ok(Math.abs(g - parts[i]) <= 2e-6 * scale, `gradient ${i}: ${g} and ${parts[i]}`))
})

/** Completions are preferred by how many 7s they hold. */
const sevens = (tokens: ArrayLike<number>): number => Array.from(tokens).filter((t) => t === 7).length
const pairsOf = (random: Random, count: number): EncodedPair[] =>
  Array.from({ length: count }, () => {
    const prompt = [1 + random.integer(15), 1 + random.integer(15)]
    const text = () => ({
      tokens: Int32Array.from([...prompt, ...Array.from({ length: 6 }, () => 1 + random.integer(15))]),
      promptLength: 2,
    })
    const [a, b] = [text(), text()]
    const gap = sevens(a.tokens) - sevens(b.tokens)
    return { chosen: a, rejected: b, preference: gap === 0 ? 0.5 : gap > 0 ? 1 : 0, margin: 0, weight: 1 }
  })

test('a reward model learns which of two texts is preferred, labels on either side', async () => {
  const device = await open()
  const random = new Random(3)
  const model = RewardModel.fromPolicy(fresh(device))
  await last(reward(model, pairsOf(random, 400), { lr: 5e-3, batchSize: 32, epochs: 8 }))
  const { accuracy, decided } = await evaluateReward(model, pairsOf(random, 200))
  assert.ok(decided > 50 && accuracy > 0.9, `accuracy ${accuracy} of ${decided}`)
})

test('dpo raises the preferred text above the other one', async () => {
  const device = await open()
  const policy = fresh(device)
  const reference = policy.clone()
  const pairs = pairsOf(new Random(4), 200).filter((pair) => pair.preference !== 0.5)
  const { first, last: end } = await last(dpo(policy, reference, pairs, { lr: 2e-3, batchSize: 32, epochs: 12 }))
  assert.ok(Math.abs(first.loss - Math.log(2)) < 1e-5, `the first loss is log 2, and was ${first.loss}`)
  assert.ok(end.loss < first.loss - 0.05, `loss ${first.loss} -> ${end.loss}`)
})

const prompts: EncodedPrompt[] = Array.from({ length: 8 }, (_, i) => ({
  tokens: Int32Array.of(1 + i, 2),
  prompt: String(i),
}))
const ppoOptions = {
  iterations: 12,
  rollouts: 48,
  maxNewTokens: 6,
  lr: 5e-3,
  klCoefficient: 0.02,
  endOfText: END,
  decode: (ids: ArrayLike<number>) => Array.from(ids).join(' '),
  seed: 5,
}
const likesSevens = (samples: readonly { completionTokens: Int32Array }[]): number[] =>
  samples.map(({ completionTokens }) => sevens(completionTokens))

test('ppo raises the reward, and the first round starts at the reference', async () => {
  const device = await open()
  const start = fresh(device)
  const policy = start.clone({ valueHead: true })
  const { first, last: end } = await last(ppo(policy, start, likesSevens, prompts, ppoOptions))
  assert.equal(first['objective/kl'], 0)
  assert.ok(
    end['objective/scores'] > first['objective/scores'] + 1,
    `scores ${first['objective/scores']} -> ${end['objective/scores']}`,
  )
  assert.ok(end['objective/kl'] > 0)
})

/** A store in memory that stops the run after some steps. */
class Memory implements SnapshotStore {
  readonly stop: AbortController | undefined
  readonly #after: number
  snapshot: Snapshot | undefined
  logged = 0
  constructor(after = Number.POSITIVE_INFINITY, snapshot?: Snapshot) {
    this.#after = after
    this.stop = new AbortController()
    this.snapshot = snapshot
  }
  async restore(): Promise<Snapshot | undefined> {
    return this.snapshot
  }
  async save(snapshot: Snapshot): Promise<string> {
    const arrays = Object.fromEntries(Object.entries(snapshot.arrays).map(([name, data]) => [name, data.slice()]))
    this.snapshot = JSON.parse(JSON.stringify({ ...snapshot, arrays: undefined }))
    this.snapshot!.arrays = arrays
    return 'memory'
  }
  log(): void {
    if (++this.logged === this.#after) this.stop?.abort(new Error('enough'))
  }
}

test('a ppo run that was stopped and resumed gives the bits of one that was not', async () => {
  const device = await open()
  const start = fresh(device)
  const options = {
    ...ppoOptions,
    iterations: 5,
    klTarget: 3,
    pretrain: [counting(new Random(1))],
    ptxCoefficient: 0.2,
  }
  const straight = start.clone({ valueHead: true })
  const { all } = await last(ppo(straight, start, likesSevens, prompts, options))

  const stopped = new Memory(2)
  const first = start.clone({ valueHead: true })
  await assert.rejects(
    last(ppo(first, start, likesSevens, prompts, { ...options, store: stopped, signal: stopped.stop!.signal })),
    {
      code: 'ERR_ABORTED',
      index: 2,
    },
  )
  const resumed = start.clone({ valueHead: true })
  const rest: PpoRecord[] = []
  for await (const record of ppo(resumed, start, likesSevens, prompts, {
    ...options,
    store: new Memory(99, stopped.snapshot),
  }))
    rest.push(record)
  assert.deepEqual(resumed.parameters().flat.data, straight.parameters().flat.data)
  assert.deepEqual(rest, all.slice(2))
})

test('a reward that is no number, or one too few, is refused by name', async () => {
  const device = await open()
  const start = fresh(device)
  const run = (values: (n: number) => number[]) =>
    last(
      ppo(start.clone({ valueHead: true }), start, (samples) => values(samples.length), prompts, {
        ...ppoOptions,
        iterations: 1,
      }),
    )
  await assert.rejects(
    run((n) => Array(n).fill(Number.NaN)),
    { code: 'ERR_BAD_VALUE', index: 0 },
  )
  await assert.rejects(
    run((n) => Array(n - 1).fill(0)),
    { code: 'ERR_ARGUMENT' },
  )
})

test('the KL weight rises above the target, falls below it, and stops at its floor', () => {
  const controller = new KlController({ initial: 0.1, target: 6, horizon: 1000, floor: 0.05 })
  controller.update(12, 100) // error clipped to 0.2: 0.1 * (1 + 0.2 * 100 / 1000) = 0.102
  assert.ok(Math.abs(controller.coefficient - 0.102) < 1e-12)
  for (let i = 0; i < 200; i++) controller.update(0, 100)
  assert.equal(controller.coefficient, 0.05)
})

test('running moments are those of all values so far', () => {
  const moments = new RunningMoments()
  moments.add([1, 2])
  moments.add([3, 6])
  assert.equal(moments.mean, 3)
  // ((1-3)^2 + (2-3)^2 + 0 + (6-3)^2) / 3 = 14 / 3
  assert.ok(Math.abs(moments.deviation - Math.sqrt(14 / 3)) < 1e-12)
})

test('the learning rate warms up, and falls along a cosine to its floor', () => {
  const rate = schedule({ lr: 1, steps: 110, warmup: 10, floor: 0.1 })
  assert.equal(rate(0), 0.1)
  assert.equal(rate(9), 1)
  assert.equal(rate(10), 1)
  assert.ok(Math.abs(rate(60) - 0.55) < 1e-12)
  assert.ok(Math.abs(rate(110) - 0.1) < 1e-12)
})
