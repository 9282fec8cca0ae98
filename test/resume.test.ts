/** A run that is stopped and resumed gives the same bits as one that was not, for every trainer. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { EncodedPair, EncodedPrompt, EncodedSft } from '../lib/data/index.ts'
import type { Device } from '../lib/index.ts'
import { openDevice, PrefgradError } from '../lib/index.ts'
import { checkConfig } from '../lib/model/config.ts'
import { RewardModel, TransformerPolicy } from '../lib/model/policy.ts'
import { Random } from '../lib/random.ts'
import { dpo, type LoopOptions, ppo, RunFolder, reward, sft } from '../lib/train/index.ts'
import type { Trainable } from '../lib/train/loop.ts'
import { temporaryFolder } from './cli_world.ts'

const STEPS = 6
const STOP_AT = 3

const config = checkConfig({ vocabularySize: 32, width: 16, layers: 1, heads: 2, hidden: 32, contextLength: 32 })
const random = new Random(5)
const words = (length: number) => Int32Array.from({ length }, () => 1 + random.integer(31))
const example = (prompt: Int32Array, length: number) => ({
  tokens: Int32Array.from([...prompt, ...words(length)]),
  promptLength: prompt.length,
})
const prompts = Array.from({ length: 12 }, () => words(3 + random.integer(3)))
const texts: EncodedSft[] = prompts.map((prompt) => ({ ...example(prompt, 4), weight: 1 }))
const pairs: EncodedPair[] = prompts.map((prompt, i) => ({
  chosen: example(prompt, 3),
  rejected: example(prompt, 5),
  preference: i % 3 === 0 ? 0.5 : 1,
  margin: 0,
  weight: 1,
}))
const questions: EncodedPrompt[] = prompts.map((tokens) => ({ tokens, prompt: tokens.join() }))

let device: Device
before(async () => {
  device = await openDevice('cpu', { threads: 1 })
})
after(() => device.dispose())

const freshPolicy = (valueHead = false) => TransformerPolicy.create(device, config, new Random(1)).clone({ valueHead })

interface Run {
  model: Trainable & { save(directory: string): Promise<void> }
  loop: AsyncGenerator<{ step: number }, void, void>
}
type Start = (options: Pick<LoopOptions, 'signal' | 'store'>) => Run

const settings = { lr: 1e-2, batchSize: 4, epochs: 2, seed: 3, saveEvery: 2 }
const trainers: Record<string, Start> = {
  sft: (options) => {
    const model = freshPolicy()
    return { model, loop: sft(model, texts, { ...settings, ...options }) }
  },
  reward: (options) => {
    const model = RewardModel.fromPolicy(freshPolicy())
    return { model, loop: reward(model, pairs, { ...settings, ...options }) }
  },
  dpo: (options) => {
    const model = freshPolicy()
    return { model, loop: dpo(model, freshPolicy(), pairs, { ...settings, sftCoefficient: 0.1, ...options }) }
  },
  ppo: (options) => {
    const model = freshPolicy(true)
    const byLength = (samples: readonly { completionTokens: Int32Array }[]) =>
      samples.map(({ completionTokens }) => completionTokens.reduce((sum, id) => sum + id, 0) / 100)
    const rounds = { iterations: STEPS, rollouts: 8, maxNewTokens: 4, minibatches: 2, klTarget: 5, stopKl: 100 }
    const ptx = {
      pretrain: texts,
      ptxCoefficient: 0.1,
      endOfText: 0,
      decode: (ids: ArrayLike<number>) => `${ids.length}`,
    }
    return {
      model,
      loop: ppo(model, freshPolicy(), byLength, questions, { ...settings, ...rounds, ...ptx, ...options }),
    }
  },
}

const finish = async ({ model, loop }: Run, directory: string): Promise<number> => {
  let steps = 0
  for await (const { step } of loop) steps = step
  await model.save(directory)
  return steps
}

const bytesOf = (directory: string, file: string): Buffer => readFileSync(join(directory, file))
const identity = 'a run'

for (const [name, start] of Object.entries(trainers)) {
  test(`${name}: three steps, Ctrl-C, resume and three more give the bytes of six at once`, async () => {
    const [straight, broken] = [temporaryFolder(), temporaryFolder()]
    assert.equal(await finish(start({ store: new RunFolder(straight, { identity }) }), straight), STEPS)

    const controller = new AbortController()
    const first = start({ store: new RunFolder(broken, { identity }), signal: controller.signal })
    await assert.rejects(
      async () => {
        for await (const { step } of first.loop) if (step === STOP_AT) controller.abort(new Error('enough'))
      },
      (error) => error instanceof PrefgradError && error.code === 'ERR_ABORTED' && error.index === STOP_AT,
    )
    const stopped = bytesOf(broken, 'metrics.jsonl').toString().trimEnd().split('\n')
    assert.equal(stopped.length, STOP_AT)
    assert.equal(await finish(start({ store: new RunFolder(broken, { identity, resume: true }) }), broken), STEPS)
    assert.deepEqual(bytesOf(broken, 'model.safetensors'), bytesOf(straight, 'model.safetensors'))
    assert.deepEqual(bytesOf(broken, 'metrics.jsonl'), bytesOf(straight, 'metrics.jsonl'))
  })
}

test('a run that died between two checkpoints goes on from the older one, and no step stands twice', async () => {
  const [straight, broken] = [temporaryFolder(), temporaryFolder()]
  await finish(trainers.sft({ store: new RunFolder(straight, { identity }) }), straight)
  const dying = trainers.sft({ store: new RunFolder(broken, { identity }) })
  for await (const { step } of dying.loop) if (step === STOP_AT) break
  // Saved after step 2, died after step 3, with a line of metrics half written.
  truncateSync(join(broken, 'metrics.jsonl'), bytesOf(broken, 'metrics.jsonl').length - 5)
  await finish(trainers.sft({ store: new RunFolder(broken, { identity, resume: true }) }), broken)
  assert.deepEqual(bytesOf(broken, 'model.safetensors'), bytesOf(straight, 'model.safetensors'))
  assert.deepEqual(bytesOf(broken, 'metrics.jsonl'), bytesOf(straight, 'metrics.jsonl'))
})

test('a damaged newest checkpoint is passed over and named', async () => {
  const folder = temporaryFolder()
  await finish(trainers.sft({ store: new RunFolder(folder, { identity }) }), folder)
  const newest = readdirSync(join(folder, 'checkpoints')).sort().at(-1) as string
  truncateSync(join(folder, 'checkpoints', newest), 1000)
  const store = new RunFolder(folder, { identity, resume: true })
  assert.equal((await store.restore())?.step, 4)
  assert.match(store.skipped[0].path, new RegExp(newest))
})

test('a run begins with a checkpoint, and its folder is refused to another run', async () => {
  const folder = temporaryFolder()
  const { loop } = trainers.sft({ store: new RunFolder(folder, { identity }) })
  await loop.next()
  assert.deepEqual(readdirSync(join(folder, 'checkpoints')), ['step-00000000.ckpt.safetensors'])
  rmSync(join(folder, 'metrics.jsonl'))
  assert.throws(() => new RunFolder(folder, { identity }), /already holds a run\. Give another folder, or --resume/)
})

test('a checkpoint of other settings is refused with what differs', async () => {
  const folder = temporaryFolder()
  const { loop } = trainers.sft({ store: new RunFolder(folder, { identity: '{"lr":0.1,"seed":1}' }) })
  await loop.next()
  const other = new RunFolder(folder, { identity: '{"lr":0.2,"seed":1}', resume: true })
  await assert.rejects(
    other.restore(),
    (error) =>
      error instanceof PrefgradError &&
      error.code === 'ERR_CHECKPOINT' &&
      /other settings or data: lr was 0\.1 and is 0\.2\. Resume with exactly/.test(error.message),
  )
})
