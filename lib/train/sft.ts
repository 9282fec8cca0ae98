/** Supervised fine-tuning (and pretraining): the mean negative log-probability of response tokens. */
import { type EncodedSft, packSft } from '../data/index.ts'
import { tokenLogprobs, tokenLogprobsBackward } from '../index.ts'
import type { Policy } from '../model/policy.ts'
import { type LoopOptions, optimize, type StepRecord } from './loop.ts'
import { microBatches, responseRows } from './rows.ts'

const responseTokens = ({ tokens, promptLength }: EncodedSft): number => tokens.length - Math.max(1, promptLength)

/**
 * Adds the gradient of `coefficient * sum(-log p) / denominator` over the response tokens of some examples up. With the
 * denominator of the whole batch, micro-batches add up to it exactly. Returns the sum of -log p and of the entropies.
 */
export const addSftGradient = (
  policy: Policy,
  examples: readonly EncodedSft[],
  options: { denominator: number; coefficient?: number; maxTokens?: number },
): { nll: number; entropy: number; tokens: number } => {
  const { denominator, coefficient = 1, maxTokens = 16384 } = options
  let [nll, entropy, count] = [0, 0, 0]
  for (const part of microBatches(examples, ({ tokens }) => tokens.length, maxTokens)) {
    const packed = packSft(part)
    const rows = responseRows(policy.device, packed)
    const { logits, context } = policy.forward(rows.batch, true)
    const result = tokenLogprobs({ logits, tokens: rows.targets }, { entropy: true })
    const gradLogprob = new Float32Array(rows.count)
    const offsets = rows.offsets.data
    const logprob = result.logprob.data
    for (let b = 0; b < part.length; b++) {
      gradLogprob.fill((-coefficient * packed.weight[b]) / denominator, offsets[b], offsets[b + 1])
      for (let i = offsets[b]; i < offsets[b + 1]; i++) nll -= packed.weight[b] * logprob[i]
    }
    for (const h of result.entropy!.data) entropy += h
    count += rows.count
    const { logprob: lp, rowMax, logSum } = result
    tokenLogprobsBackward(
      { logits, tokens: rows.targets, logprob: lp, rowMax, logSum, gradLogprob },
      {},
      { out: { gradLogits: logits } },
    )
    policy.backward(context, { gradLogits: logits })
  }
  return { nll, entropy, tokens: count }
}

/** Trains on texts; yields one record a step with `loss`, `entropy` and the counts. */
export const sft = (
  policy: Policy,
  examples: readonly EncodedSft[],
  options: LoopOptions,
): AsyncGenerator<StepRecord, void, void> =>
  optimize(
    'sft',
    policy,
    examples,
    {
      tokens: ({ tokens }) => tokens.length,
      step: (batch) => {
        const denominator = batch.reduce((sum, example) => sum + responseTokens(example), 0)
        const { nll, entropy, tokens } = addSftGradient(policy, batch, { denominator, maxTokens: options.maxTokens })
        return { loss: nll / denominator, entropy: entropy / tokens }
      },
    },
    options,
  )

/** Mean negative log-probability per response token, in nats, without gradients. */
export const evaluateNll = (
  policy: Policy,
  examples: readonly EncodedSft[],
  maxTokens = 16384,
): { nll: number; tokens: number } => {
  let [nll, count] = [0, 0]
  for (const part of microBatches(examples, ({ tokens }) => tokens.length, maxTokens)) {
    const rows = responseRows(policy.device, packSft(part))
    const { logits } = policy.forward(rows.batch)
    for (const lp of tokenLogprobs({ logits, tokens: rows.targets }).logprob.data) nll -= lp
    count += rows.count
  }
  return { nll: nll / Math.max(1, count), tokens: count }
}
