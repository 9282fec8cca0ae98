/** The whole loop on webgpu: the cpu's first losses, learning, the same bits when resumed, and one wait a step. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { WebgpuBackend } from '../lib/backends/webgpu.ts'
import { openDevice } from '../lib/index.ts'
import { RewardModel } from '../lib/model/index.ts'
import { dpo, evaluateNll, evaluateReward, RunFolder, reward, sft } from '../lib/train/index.ts'
import { softwareGpu } from './software_gpu.ts'
import { assertNear, FIRST, fresh, loops, pairs, prompts, rounds, settings, texts } from './train_world.ts'

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
  const { records: expected } = await collect(rounds(cpu))
  const { records: got, done } = await collect(rounds(gpu))
  assertNear(got[0], expected[0], 20 * FIRST)
  const scores = got.map((record) => record['objective/scores'])
  assert.ok(scores[scores.length - 1] > scores[0], `scores ${scores}`)
  const [first, last] = [done[0], done[done.length - 1]]
  const later = done.length - 1
  // A round: 4 tokens, rollouts, reference, shaping, and 2 epochs of 2 steps.
  assert.equal((last.readbacks - first.readbacks) / later, 4 + 3 + 4)
  assert.equal(last.held, done[1].held)
  assert.equal(last.made, done[1].made)
  t.diagnostic(
    `a round of 4 tokens and 4 steps: ${((last.dispatches - first.dispatches) / later).toFixed(0)} dispatches`,
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
