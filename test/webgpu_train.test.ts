/** The whole loop on webgpu: the cpu's first losses, learning, the same bits when resumed, and one wait a step. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { WebgpuBackend } from '../lib/backends/webgpu.ts'
import { type Device, openDevice } from '../lib/index.ts'
import { checkConfig, RewardModel, TransformerPolicy } from '../lib/model/index.ts'
import { Random } from '../lib/random.ts'
import { dpo, evaluateNll, evaluateReward, ppo, RunFolder, reward, sft } from '../lib/train/index.ts'
import { softwareGpu } from './software_gpu.ts'

const config = checkConfig({ vocabularySize: 32, width: 16, layers: 1, heads: 2, hidden: 32, contextLength: 32 })
const gpu = await openDevice('webgpu', { gpu: await softwareGpu(), software: true })
const cpu = await openDevice('cpu', { threads: 1 })
const backend = gpu.backend as WebgpuBackend
const { counters } = backend

/** Pieces of GPU memory that somebody holds: waiting for the garbage collector to give them back would not do. */
let held = 0
const [alloc, free] = [backend.alloc.bind(backend), backend.free.bind(backend)]
backend.alloc = (bytes) => {
  held++
  return alloc(bytes)
}
backend.free = (storage) => {
  held--
  free(storage)
}
/** GPU buffers that were made; readbacks have buffers of their own. */
let made = 0
const create = backend.gpu.createBuffer.bind(backend.gpu)
backend.gpu.createBuffer = (descriptor) => {
  if ((descriptor.usage & 0x80) !== 0) made++
  return create(descriptor)
}

const random = new Random(5)
const words = (length: number) => Int32Array.from({ length }, () => 1 + random.integer(31))
const example = (prompt: Int32Array, length: number) => ({
  tokens: Int32Array.from([...prompt, ...words(length)]),
  promptLength: prompt.length,
})
const prompts = Array.from({ length: 12 }, () => words(4))
const texts = prompts.map((prompt) => ({ ...example(prompt, 6), weight: 1 }))
const pairs = prompts.map((prompt, i) => ({
  chosen: example(prompt, 3),
  rejected: example(prompt, 5),
  preference: i % 3 === 0 ? 0.5 : 1,
  margin: 0,
  weight: 1,
}))
const questions = prompts.map((tokens) => ({ tokens, prompt: tokens.join() }))
const settings = { lr: 2e-2, batchSize: 4, epochs: 5, seed: 3 }
const fresh = (device: Device) => TransformerPolicy.create(device, config, new Random(1))

/** The records of a run, and what was done by then. */
interface Collected {
  records: Record<string, number>[]
  done: { readbacks: number; submits: number; dispatches: number; held: number; made: number }[]
}
const collect = async (records: AsyncIterable<object>): Promise<Collected> => {
  const all: Collected = { records: [], done: [] }
  for await (const record of records) {
    all.records.push(record as Record<string, number>)
    all.done.push({ ...counters, held, made })
  }
  return all
}

/** Records that a device gave against those of the cpu; rounding grows with the steps. */
const assertNear = (got: Record<string, number>, expected: Record<string, number>, share: number): void => {
  for (const [key, value] of Object.entries(expected)) {
    const off = Math.abs(got[key] - value)
    assert.ok(off <= share * Math.max(1e-2, Math.abs(value)), `${key} is ${got[key]}, and ${value} on the cpu`)
  }
}
/** f32 sums in another order: some 1e-6 for the loss itself, more for figures that are small differences. */
const FIRST = 1e-4

const loops: Record<string, { run: (device: Device) => AsyncIterable<object>; key: string }> = {
  sft: { run: (device) => sft(fresh(device), texts, settings), key: 'loss' },
  reward: { run: (device) => reward(RewardModel.fromPolicy(fresh(device)), pairs, settings), key: 'loss' },
  dpo: {
    run: (device) => dpo(fresh(device), fresh(device), pairs, { ...settings, sftCoefficient: 0.1 }),
    key: 'loss',
  },
}

for (const [name, { run, key }] of Object.entries(loops)) {
  test(`${name} gives the cpu's first losses, learns, waits once a step, and then needs no more memory`, async (t) => {
    const { records: expected } = await collect(run(cpu))
    const { records: got, done } = await collect(run(gpu))
    assert.equal(got.length, expected.length)
    assertNear(got[0], expected[0], FIRST)
    assertNear(got[1], expected[1], 10 * FIRST)
    assert.ok(got[got.length - 1][key] < 0.9 * got[0][key], `${key} went from ${got[0][key]} to ${got.at(-1)![key]}`)
    const [first, last] = [done[0], done[done.length - 1]]
    const steps = done.length - 1
    assert.equal(last.readbacks - first.readbacks, steps)
    assert.equal(last.submits - first.submits, steps)
    assert.equal(last.held, done[1].held)
    assert.equal(last.made, done[2].made)
    t.diagnostic(`${((last.dispatches - first.dispatches) / steps).toFixed(0)} dispatches a step`)
  })
}

test("ppo gives the cpu's first round, waits once for each token and step, and then needs no more memory", async (t) => {
  const run = async function* (device: Device) {
    yield* ppo(
      fresh(device).clone({ valueHead: true }),
      fresh(device),
      (samples) => samples.map(({ completionTokens }) => completionTokens.reduce((a, b) => a + b, 0) / 100),
      questions,
      {
        iterations: 4,
        rollouts: 16,
        maxNewTokens: 4,
        minibatches: 2,
        klTarget: 5,
        stopKl: 100,
        lr: 1e-2,
        seed: 3,
        pretrain: texts,
        ptxCoefficient: 0.1,
        endOfText: 0,
        decode: () => '',
      },
    )
  }
  const { records: expected } = await collect(run(cpu))
  const { records: got, done } = await collect(run(gpu))
  assertNear(got[0], expected[0], 20 * FIRST)
  const scores = got.map((record) => record['objective/scores'])
  assert.ok(scores[scores.length - 1] > scores[0], `scores ${scores}`)
  const [first, last] = [done[0], done[done.length - 1]]
  const rounds = done.length - 1
  // A round: 4 tokens, rollouts, reference, shaping, and 2 epochs of 2 steps.
  assert.equal((last.readbacks - first.readbacks) / rounds, 4 + 3 + 4)
  assert.equal(last.held, done[1].held)
  assert.equal(last.made, done[1].made)
  t.diagnostic(
    `a round of 4 tokens and 4 steps: ${((last.dispatches - first.dispatches) / rounds).toFixed(0)} dispatches`,
  )
})

test('a run that was stopped and resumed gives the bits of one that was not', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'prefgrad-webgpu-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const identity = 'sft'
  const whole = fresh(gpu)
  await collect(sft(whole, texts, settings))
  const path = join(folder, 'run')
  const controller = new AbortController()
  const stopped = async () => {
    const store = new RunFolder(path, { identity })
    for await (const { step } of sft(fresh(gpu), texts, { ...settings, store, signal: controller.signal })) {
      if (step === 7) controller.abort()
    }
  }
  await assert.rejects(stopped, { code: 'ERR_ABORTED' })
  const again = fresh(gpu)
  await collect(sft(again, texts, { ...settings, store: new RunFolder(path, { identity, resume: true }) }))
  assert.deepEqual(await again.parameters().flat.read(), await whole.parameters().flat.read())
})

test('models that are disposed leave nothing behind', async () => {
  const before = held
  const policy = fresh(gpu)
  const reference = policy.clone({ valueHead: true })
  const judge = RewardModel.fromPolicy(policy)
  await collect(dpo(policy, reference, pairs, { ...settings, maxSteps: 1 }))
  await collect(reward(judge, pairs, { ...settings, maxSteps: 1 }))
  await evaluateNll(policy, texts)
  const { decided } = await evaluateReward(judge, pairs)
  assert.equal(decided, 8)
  await policy.generate(prompts, { maxTokens: 2 })
  for (const model of [policy, reference, judge]) model.dispose()
  assert.equal(held, before)
})
