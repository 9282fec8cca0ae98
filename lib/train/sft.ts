/** Supervised fine-tuning (and pretraining): the mean negative log-probability of response tokens. */
import { type EncodedSft, packSft } from '../data/index.ts'
import { tokenLogprobs, tokenLogprobsBackward } from '../index.ts'
import type { Policy } from '../model/policy.ts'
import type { Scope } from '../scope.ts'
import { type LoopOptions, optimize, type StepRecord } from './loop.ts'
import { responseLogprobs } from './response_logprobs.ts'
import { microBatches, responseRows } from './rows.ts'

const responseTokens = ({ tokens, promptLength }: EncodedSft): number => tokens.length - Math.max(1, promptLength)

/** Sums over the response tokens of some examples. */
export interface SftSums {
  /** Weighted sum of -log p. */
  nll: number
  entropy: number
  tokens: number
}

/**
 * Adds the gradient of `coefficient * sum(-log p) / denominator` over the response tokens of some examples up. With the
 * denominator of the whole batch, micro-batches add up to it exactly. The function that it returns gives the sums once the scope
 * has been read.
 */
export const addSftGradient = (
  scope: Scope,
  policy: Policy,
  examples: readonly EncodedSft[],
  options: { denominator: number; coefficient?: number; maxTokens?: number },
): (() => SftSums) => {
  const { denominator, coefficient = 1, maxTokens = 16384 } = options
  const parts = microBatches(examples, ({ tokens }) => tokens.length, maxTokens).map((part) => {
    const packed = packSft(part)
    const { batch, targets, starts, count } = responseRows(scope, packed)
    const { logits, context } = policy.forward(batch, true)
    const token = scope.own(tokenLogprobs({ logits, tokens: targets }, { entropy: true }))
    const upstream = new Float32Array(count)
    packed.weight.forEach((weight, b) => {
      upstream.fill((-coefficient * weight) / denominator, starts[b], starts[b + 1])
    })
    const { logprob, rowMax, logSum } = token
    tokenLogprobsBackward(
      { logits, tokens: targets, logprob, rowMax, logSum, gradLogprob: scope.tensor(upstream) },
      {},
      { out: { gradLogits: logits } },
    )
    policy.backward(context, { gradLogits: logits })
    return { weight: packed.weight, starts, logprob: scope.want(logprob), entropy: scope.want(token.entropy!) }
  })
  return () => {
    const sums: SftSums = { nll: 0, entropy: 0, tokens: 0 }
    for (const { weight, starts, logprob, entropy } of parts) {
      const values = logprob()
      weight.forEach((w, b) => {
        for (let i = starts[b]; i < starts[b + 1]; i++) sums.nll -= w * values[i]
      })
      for (const h of entropy()) sums.entropy += h
      sums.tokens += values.length
    }
    return sums
  }
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
      step: (batch, scope) => {
        const denominator = batch.reduce((sum, example) => sum + responseTokens(example), 0)
        const sums = addSftGradient(scope, policy, batch, { denominator, maxTokens: options.maxTokens })
        return () => {
          const { nll, entropy, tokens } = sums()
          return { loss: nll / denominator, entropy: entropy / tokens }
        }
      },
    },
    options,
  )

/** Mean negative log-probability per response token, in nats, without gradients. */
export const evaluateNll = async (
  policy: Policy,
  examples: readonly EncodedSft[],
  maxTokens = 16384,
): Promise<{ nll: number; tokens: number }> => {
  let [nll, count] = [0, 0]
  for (const row of await responseLogprobs(policy, examples, maxTokens)) {
    for (const logprob of row) nll -= logprob
    count += row.length
  }
  return { nll: nll / Math.max(1, count), tokens: count }
}
