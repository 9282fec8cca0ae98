/** A small loop of every kind, as the train suites of the GPU devices run them. */
import assert from 'node:assert/strict'
import type { Device } from '../lib/index.ts'
import { checkConfig, RewardModel, TransformerPolicy } from '../lib/model/index.ts'
import { Random } from '../lib/random.ts'
import { dpo, ppo, reward, sft } from '../lib/train/index.ts'

export const config = checkConfig({ vocabularySize: 32, width: 16, layers: 1, heads: 2, hidden: 32, contextLength: 32 })
const random = new Random(5)
const words = (length: number) => Int32Array.from({ length }, () => 1 + random.integer(31))
const example = (prompt: Int32Array, length: number) => ({
  tokens: Int32Array.from([...prompt, ...words(length)]),
  promptLength: prompt.length,
})
export const prompts = Array.from({ length: 12 }, () => words(4))
export const texts = prompts.map((prompt) => ({ ...example(prompt, 6), weight: 1 }))
export const pairs = prompts.map((prompt, i) => ({
  chosen: example(prompt, 3),
  rejected: example(prompt, 5),
  preference: i % 3 === 0 ? 0.5 : 1,
  margin: 0,
  weight: 1,
}))
const questions = prompts.map((tokens) => ({ tokens, prompt: tokens.join() }))
export const settings = { lr: 2e-2, batchSize: 4, epochs: 5, seed: 3 }
export const fresh = (device: Device) => TransformerPolicy.create(device, config, new Random(1))

/** Records that a device gave against those of the cpu; rounding grows with the steps. */
export const assertNear = (got: Record<string, number>, expected: Record<string, number>, share: number): void => {
  for (const [key, value] of Object.entries(expected)) {
    const off = Math.abs(got[key] - value)
    assert.ok(off <= share * Math.max(1e-2, Math.abs(value)), `${key} is ${got[key]}, and ${value} on the cpu`)
  }
}
/** f32 sums in another order: some 1e-6 for the loss itself, more for figures that are small differences. */
export const FIRST = 1e-4

export const loops: Record<string, { run: (device: Device) => AsyncIterable<object>; key: string }> = {
  sft: { run: (device) => sft(fresh(device), texts, settings), key: 'loss' },
  reward: { run: (device) => reward(RewardModel.fromPolicy(fresh(device)), pairs, settings), key: 'loss' },
  dpo: {
    run: (device) => dpo(fresh(device), fresh(device), pairs, { ...settings, sftCoefficient: 0.1 }),
    key: 'loss',
  },
}

/** Four rounds of PPO on a reward that likes large token numbers. */
export async function* rounds(device: Device): AsyncIterable<object> {
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
