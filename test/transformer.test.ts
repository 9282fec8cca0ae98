import assert from 'node:assert/strict'
import { test } from 'node:test'
import { packSequences } from '../lib/data/index.ts'
import { openDevice, type Tensor, tokenLogprobs, tokenLogprobsBackward } from '../lib/index.ts'
import { checkConfig, TransformerPolicy } from '../lib/model/index.ts'
import { Random } from '../lib/random.ts'
import { responseLogprobs } from '../lib/train/index.ts'
import { responseRows } from '../lib/train/rows.ts'

const config = checkConfig({
  vocabularySize: 23,
  width: 16,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  hidden: 24,
  contextLength: 32,
})

const sequence = (random: Random, length: number, promptLength: number) => ({
  tokens: Int32Array.from({ length }, () => random.integer(config.vocabularySize)),
  promptLength,
})

/** A policy whose weights are large enough for every path to matter. */
const lively = async (tiedHead: boolean): Promise<TransformerPolicy> => {
  const device = await openDevice('cpu', { threads: 2 })
  const policy = TransformerPolicy.create(device, { ...config, tiedHead }, new Random(3))
  const flat = policy.parameters().flat.data
  for (let i = 0; i < flat.length; i++) flat[i] *= flat[i] === 1 ? 1 : 12
  return policy
}

for (const tiedHead of [true, false]) {
  test(`gradients of the whole model agree with central differences (${tiedHead ? 'tied' : 'untied'} head)`, async () => {
    const policy = await lively(tiedHead)
    const random = new Random(5)
    const examples = [sequence(random, 9, 2), sequence(random, 5, 1), sequence(random, 12, 4)]
    const rows = responseRows(policy.device, packSequences(examples))
    /** Sum of log-probabilities, added up in f64. */
    const objective = (): number => {
      const { logits } = policy.forward(rows.batch)
      return tokenLogprobs({ logits, tokens: rows.targets }).logprob.data.reduce((sum, x) => sum + x, 0)
    }
    policy.zeroGradients()
    const { logits, context } = policy.forward(rows.batch, true)
    const { logprob, rowMax, logSum } = tokenLogprobs({ logits, tokens: rows.targets })
    const gradLogprob = new Float32Array(rows.count).fill(1)
    const { gradLogits } = tokenLogprobsBackward({ logits, tokens: rows.targets, logprob, rowMax, logSum, gradLogprob })
    policy.backward(context, { gradLogits: gradLogits as Tensor<'f32'> })
    const parameters = policy.parameters()
    for (const { name } of parameters.specs) {
      const weight = parameters.get(name).data
      const gradient = parameters.within(policy.gradients, name).data
      // A direction at a time: along the gradient itself the difference is largest against f32 noise.
      const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0))
      assert.ok(norm > 0, `${name} has a gradient`)
      const kept = weight.slice()
      const h = 4e-3
      const at = (t: number): number => {
        for (let i = 0; i < weight.length; i++) weight[i] = kept[i] + (t * gradient[i]) / norm
        return objective()
      }
      const slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
      weight.set(kept)
      assert.ok(Math.abs(slope - norm) < 2e-3 * norm + 2e-3, `${name}: slope ${slope}, gradient ${norm}`)
    }
  })
}

test('a text has the same log-probabilities alone and in any batch, bit for bit', async () => {
  const policy = await lively(true)
  const random = new Random(6)
  const examples = Array.from({ length: 7 }, (_, i) => sequence(random, 6 + i, 2))
  const together = await responseLogprobs(policy, examples)
  for (const [i, example] of examples.entries()) {
    const [alone] = await responseLogprobs(policy, [example])
    assert.deepEqual(alone, together[i])
  }
})

test('greedy generation follows the log-probabilities of the full pass', async () => {
  const policy = await lively(true)
  const random = new Random(8)
  const prompts = [sequence(random, 3, 1).tokens, sequence(random, 6, 1).tokens, sequence(random, 4, 1).tokens]
  const completions = await policy.generate(prompts, { maxTokens: 8, temperature: 0 })
  for (const [i, { tokens }] of completions.entries()) {
    const whole = Int32Array.from([...prompts[i], ...tokens])
    const rows = responseRows(policy.device, packSequences([{ tokens: whole, promptLength: prompts[i].length }]))
    const { logits } = policy.forward(rows.batch)
    const V = config.vocabularySize
    for (let t = 0; t < tokens.length; t++) {
      const row = logits.data.subarray(t * V, (t + 1) * V)
      assert.equal(tokens[t], row.indexOf(Math.max(...row)), `token ${t} of prompt ${i}`)
    }
  }
})

test('what is sampled for a prompt does not depend on the batch size', async () => {
  const policy = await lively(true)
  const random = new Random(9)
  const prompts = Array.from({ length: 5 }, () => sequence(random, 4, 1).tokens)
  const options = { maxTokens: 10, seed: 4 }
  const whole = await policy.generate(prompts, options)
  const small = await policy.generate(prompts, { ...options, batchSize: 2 })
  assert.deepEqual(small, whole)
  assert.notDeepEqual(await policy.generate(prompts, { ...options, seed: 5 }), whole)
})
