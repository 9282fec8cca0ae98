/** One optimizer step of PPO on some rollouts, and on texts that must not be unlearned. */
import { type EncodedSft, packSequences } from '../data/index.ts'
import { mergeStats, ppoPolicyLoss, ppoValueLoss, tokenLogprobs, tokenLogprobsBackward } from '../index.ts'
import type { Policy } from '../model/policy.ts'
import type { AdamW } from '../optim/adamw.ts'
import { type Scope, scoped } from '../scope.ts'
import { type StatsSlots, statsOf } from '../stats.ts'
import { defined, wantReport } from './loop.ts'
import type { PpoOptions } from './ppo.ts'
import { concat, type Rollout, responseLength } from './rollouts.ts'
import { microBatches, responseRows } from './rows.ts'
import { addSftGradient } from './sft.ts'

/** Sums over the steps of a round. */
export interface RoundTotals {
  entropy: number
  tokens: number
  nll: number
  nllTokens: number
  gradNorm: number
  refused: number
}

/** Figures of both losses. */
export interface PpoStep {
  policy: StatsSlots
  value: StatsSlots
}

/** What a step is taken on. */
export interface PpoMinibatch {
  list: readonly Rollout[]
  texts: readonly EncodedSft[]
  lr: number
}

/** Adds the gradient of one micro-batch up; what it returns can be called once the scope has been read. */
const addPpoGradient = (
  scope: Scope,
  policy: Policy,
  part: readonly Rollout[],
  normalizer: number,
  options: PpoOptions,
) => {
  const { temperature = 1, valueClip = 0.2, valueCoefficient = 0.1, clipLow, clipHigh } = options
  const { batch, targets, offsets } = responseRows(scope, packSequences(part))
  const column = (of: (rollout: Rollout) => Float32Array) => scope.tensor(concat(part.map(of)))
  const { logits, values, context } = policy.forward(batch, true)
  const token = scope.own(tokenLogprobs({ logits, tokens: targets }, { temperature, entropy: true }))
  const { logprob, rowMax, logSum } = token
  const surrogate = scope.own(
    ppoPolicyLoss(
      {
        logprob,
        oldLogprob: column(({ oldLogprob }) => oldLogprob),
        advantage: column(({ advantage }) => advantage),
        offsets,
      },
      { ...defined({ clipLow, clipHigh }), normalizer },
    ),
  )
  const critic = scope.own(
    ppoValueLoss(
      {
        value: values!,
        oldValue: column(({ oldValue }) => oldValue),
        returns: column(({ returns }) => returns),
        offsets,
      },
      { clip: valueClip, normalizer, gradScale: valueCoefficient },
    ),
  )
  tokenLogprobsBackward(
    { logits, tokens: targets, logprob, rowMax, logSum, gradLogprob: surrogate.gradLogprob },
    { temperature },
    { out: { gradLogits: logits } },
  )
  policy.backward(context, { gradLogits: logits, gradValues: critic.gradValue })
  const [ofPolicy, ofValue] = [scope.want(surrogate.stats), scope.want(critic.stats)]
  return {
    entropy: scope.want(token.entropy!),
    policy: () => statsOf(surrogate.stats, ofPolicy()),
    value: () => statsOf(critic.stats, ofValue()),
  }
}

/** One optimizer step, which waits for the device once; adds to the totals of the round. */
export const ppoStep = (
  policy: Policy,
  optimizer: AdamW,
  { list, texts, lr }: PpoMinibatch,
  options: PpoOptions,
  totals: RoundTotals,
): Promise<PpoStep> =>
  scoped(policy.device, async (scope) => {
    const { maxTokens = 16384, ptxCoefficient = 0 } = options
    policy.zeroGradients()
    const normalizer = list.reduce((n, rollout) => n + responseLength(rollout), 0)
    const parts = microBatches(list, ({ tokens }) => tokens.length, maxTokens).map((part) =>
      addPpoGradient(scope, policy, part, normalizer, options),
    )
    const denominator = texts.reduce((n, text) => n + text.tokens.length - Math.max(1, text.promptLength), 0)
    const sums = addSftGradient(scope, policy, texts, { denominator, coefficient: ptxCoefficient, maxTokens })
    const report = wantReport(scope, optimizer.update(lr))
    await scope.read()
    for (const { entropy } of parts) {
      for (const h of entropy()) totals.entropy += h
      totals.tokens += entropy().length
    }
    const { nll, tokens } = sums()
    totals.nll += nll
    totals.nllTokens += tokens
    const { gradNorm, refused } = report()
    totals.gradNorm += gradNorm
    totals.refused += Number(refused)
    return {
      policy: mergeStats(...parts.map((part) => part.policy())),
      value: mergeStats(...parts.map((part) => part.value())),
    }
  })
