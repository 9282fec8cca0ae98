import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  gae,
  klPenalty,
  type PresetName,
  ppoPolicyLoss,
  ppoValueLoss,
  preset,
  tokenRewards,
  whiten,
} from '../lib/index.ts'

const f32 = (...values: number[]) => ({ data: Float32Array.from(values), shape: [1, values.length] })
const valid = { data: Uint8Array.of(1, 0, 1, 0), shape: [1, 4] }
const run = (name: PresetName) => {
  const p = preset(name)
  const logprob = f32(-1, -1, -2, 0)
  const other = f32(-1.5, -1, -1, 0)
  tokenRewards(
    { logprob, refLogprob: other, score: Float32Array.of(20), valid },
    { klCoefficient: 0, ...p.tokenRewards },
  )
  ppoPolicyLoss({ logprob, oldLogprob: other, advantage: f32(1, 1, -1, 0), valid }, p.ppoPolicyLoss)
  ppoValueLoss({ value: logprob, oldValue: other, returns: other, valid }, p.ppoValueLoss)
  klPenalty({ logprob, refLogprob: other, valid }, p.klPenalty)
  return {
    whitened: whiten({ x: f32(1, 9, 3, 9), valid }, p.whiten).y.data[2],
    advantage: gae({ rewards: f32(0, 0, 1, 0), values: f32(0, 0, 0, 0), valid }, { ...p.gae, lambda: 0.5 }).advantages
      .data[0],
  }
}

test('presets name the conventions on which systems differ', () => {
  // Two values 1 and 3: deviation sqrt(2) with n - 1, so 1 / sqrt(2); 1 with n.
  assert.ok(Math.abs(run('trl').whitened - Math.SQRT1_2) < 1e-6)
  assert.ok(Math.abs(run('openai').whitened - 1) < 1e-6)
  // One reward two steps on, with a gap between: one decay where gaps are free, two where they are steps.
  assert.equal(run('verl').advantage, 0.5)
  assert.equal(run('openrlhf').advantage, 0.25)
  assert.equal(run('nemo-rl').advantage, 0.5)
})

test('an unknown preset is refused with the known ones', () => {
  assert.throws(() => preset('ours' as PresetName), { code: 'ERR_OPTION', message: /openrlhf/ })
})
