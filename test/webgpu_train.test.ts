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
import { dpo, ppo, RunFolder, reward, sft } from '../lib/train/index.ts'
import { softwareGpu } from './software_gpu.ts'

const config = checkConfig({ vocabularySize: 32, width: 16, layers: 1, heads: 2, hidden: 32, contextLength: 32 })
const gpu = await openDevice('webgpu', { gpu: await softwareGpu(), software: true })
const cpu = await openDevice('cpu', { threads: 1 })
const { counters } = gpu.backend as WebgpuBackend

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
const settings = { lr: 1e-2, batchSize: 4, epochs: 10, seed: 3 }
const fresh = (device: Device) => TransformerPolicy.create(device, config, new Random(1))

type Records = Record<string, number>[]
const collect = async (records: AsyncIterable<object>): Promise<Records> => {
  const all: Records = []
  for await (const record of records) all.push(record as Record<string, number>)
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
  test(`${name} gives the cpu's first losses, learns, and waits once a step`, async (t) => {
    const expected = await collect(run(cpu))
    const before = { ...counters }
    const got = await collect(run(gpu))
    assert.equal(got.length, expected.length)
    assertNear(got[0], expected[0], FIRST)
    assertNear(got[1], expected[1], 10 * FIRST)
    assert.ok(got[got.length - 1][key] < 0.9 * got[0][key], `${key} went from ${got[0][key]} to ${got.at(-1)![key]}`)
    const steps = got.length
    const readbacks = counters.readbacks - before.readbacks
    // DPO reads the reference's log-probabilities once before its first step.
    assert.ok(readbacks <= steps + 2, `${readbacks} readbacks in ${steps} steps`)
    t.diagnostic(`${((counters.dispatches - before.dispatches) / steps).toFixed(0)} dispatches a step`)
  })
}

test("ppo gives the cpu's first round, and waits once for each token and step", async (t) => {
  const run = async function* (device: Device) {
    yield* ppo(
      fresh(device).clone({ valueHead: true }),
      fresh(device),
      (samples) => samples.map(({ completionTokens }) => completionTokens.reduce((a, b) => a + b, 0) / 100),
      questions,
      {
        iterations: 6,
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
  const expected = await collect(run(cpu))
  const before = { ...counters }
  const got = await collect(run(gpu))
  assertNear(got[0], expected[0], 20 * FIRST)
  const scores = got.map((record) => record['objective/scores'])
  assert.ok(scores[scores.length - 1] > scores[0], `scores ${scores}`)
  const rounds = got.length
  const [readbacks, dispatches] = [counters.readbacks - before.readbacks, counters.dispatches - before.dispatches]
  // A round: 4 tokens, rollouts, reference, shaping, and 2 epochs of 2 steps.
  assert.ok(readbacks <= rounds * (4 + 3 + 4) + 2, `${readbacks} readbacks in ${rounds} rounds`)
  t.diagnostic(`a round of 4 tokens and 4 steps: ${dispatches / rounds} dispatches, ${readbacks / rounds} readbacks`)
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
      if (step === 11) controller.abort()
    }
  }
  await assert.rejects(stopped, { code: 'ERR_ABORTED' })
  const again = fresh(gpu)
  await collect(sft(again, texts, { ...settings, store: new RunFolder(path, { identity, resume: true }) }))
  assert.deepEqual(await again.parameters().flat.read(), await whole.parameters().flat.read())
})

test('memory stays as it is over many steps', async () => {
  const { gpu: device } = gpu.backend as WebgpuBackend
  let made = 0
  const create = device.createBuffer.bind(device)
  device.createBuffer = (descriptor) => {
    if ((descriptor.usage & 0x80) !== 0) made++
    return create(descriptor)
  }
  let step = 0
  let warm = 0
  for await (const _ of sft(fresh(gpu), texts, { ...settings, epochs: 20 })) {
    step++
    if (step === 15) warm = made
  }
  device.createBuffer = create
  assert.equal(step, 60)
  assert.equal(made, warm)
})
