/** Rollouts of a round of PPO: who sampled them, what they are worth, and how each token did. */
import { type EncodedExample, type EncodedPrompt, packSequences } from '../data/index.ts'
import { gae, tokenLogprobs, tokenRewards, whiten } from '../index.ts'
import type { Completion } from '../model/generate.ts'
import type { Policy } from '../model/policy.ts'
import { refuse } from '../refuse.ts'
import { scoped } from '../scope.ts'
import { responseLogprobs } from './response_logprobs.ts'
import { microBatches, responseRows } from './rows.ts'

/** One rollout with everything that the steps on it need. */
export interface Rollout extends EncodedExample {
  ended: boolean
  score: number
  oldLogprob: Float32Array
  oldValue: Float32Array
  advantage: Float32Array
  returns: Float32Array
}

export const concat = (parts: readonly Float32Array[]): Float32Array => {
  const out = new Float32Array(parts.reduce((n, part) => n + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

export const responseLength = ({ tokens, promptLength }: EncodedExample): number => tokens.length - promptLength

const empty = new Float32Array(0)

/** Rollouts with the sampling policy's log-probabilities and values. */
export const collect = async (
  policy: Policy,
  completions: readonly Completion[],
  prompts: readonly EncodedPrompt[],
  scores: ArrayLike<number>,
  { temperature, maxTokens }: { temperature: number; maxTokens: number },
): Promise<Rollout[]> => {
  const list = completions.map(({ tokens, ended }, i): Rollout => {
    const prompt = prompts[i].tokens
    const joined = new Int32Array(prompt.length + tokens.length)
    joined.set(prompt)
    joined.set(tokens, prompt.length)
    const unknown = { oldLogprob: empty, oldValue: empty, advantage: empty, returns: empty }
    return { tokens: joined, promptLength: prompt.length, ended, score: scores[i], ...unknown }
  })
  for (const part of microBatches(list, ({ tokens }) => tokens.length, maxTokens)) {
    await scoped(policy.device, async (scope) => {
      const { batch, targets, starts } = responseRows(scope, packSequences(part))
      const { logits, values } = policy.forward(batch)
      if (values === undefined) {
        const fix = 'Load it with { valueHead: true }.'
        return refuse('ERR_CONFIG', 'PPO needs a policy with a value head.', { op: 'ppo', fix })
      }
      const { logprob } = scope.own(tokenLogprobs({ logits, tokens: targets }, { temperature }))
      const [oldLogprob, oldValue] = await scope.device.read([logprob, values])
      part.forEach((rollout, b) => {
        rollout.oldLogprob = oldLogprob.slice(starts[b], starts[b + 1])
        rollout.oldValue = oldValue.slice(starts[b], starts[b + 1])
      })
    })
  }
  return list
}

export interface ShapeOptions {
  /** What a rollout's score counts. */
  scoreOf: (rollout: Rollout) => number
  /** Weight of the KL penalty. */
  coefficient: number
  missingEndPenalty: number
  maxTokens: number
  gamma?: number
  lambda?: number
}

/** Sums over the rollouts of a round, per sequence. */
export interface Shaped {
  kl: number
  entropy: number
  nonScore: number
  coefficient: number
}

/** Rewards with their KL part, advantages and returns, written into the rollouts. */
export const shape = async (
  reference: Policy,
  list: readonly Rollout[],
  { scoreOf, coefficient, missingEndPenalty, maxTokens, ...discounts }: ShapeOptions,
): Promise<Shaped> => {
  const refLogprob = concat(await responseLogprobs(reference, list, maxTokens))
  const logprob = concat(list.map(({ oldLogprob }) => oldLogprob))
  const starts = new Int32Array(list.length + 1)
  list.forEach(({ oldLogprob }, b) => {
    starts[b + 1] = starts[b] + oldLogprob.length
  })
  const [kl, advantage, gain] = await scoped(reference.device, async (scope) => {
    const offsets = scope.tensor(starts)
    const { rewards, kl } = scope.own(
      tokenRewards(
        {
          score: scope.tensor(Float32Array.from(list, scoreOf)),
          logprob: scope.tensor(logprob),
          refLogprob: scope.tensor(refLogprob),
          offsets,
          ended: scope.tensor(Uint8Array.from(list, ({ ended }) => Number(ended))),
        },
        { klCoefficient: coefficient, missingEndPenalty },
      ),
    )
    const values = scope.tensor(concat(list.map(({ oldValue }) => oldValue)))
    const { advantages, returns } = scope.own(gae({ rewards, values, offsets }, discounts))
    return scope.device.read([kl, scope.own(whiten({ x: advantages })).y, returns])
  })
  let [klSum, logprobSum] = [0, 0]
  for (const x of kl) klSum += x
  for (const x of logprob) logprobSum += x
  list.forEach((rollout, b) => {
    rollout.advantage = advantage.slice(starts[b], starts[b + 1])
    rollout.returns = gain.slice(starts[b], starts[b + 1])
  })
  const n = list.length
  return { kl: klSum / n, entropy: -logprobSum / n, nonScore: (-coefficient * klSum) / n, coefficient }
}
