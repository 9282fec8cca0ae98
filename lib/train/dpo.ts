/** Direct preference optimization on pairs, with soft preferences and an SFT term. */
import { type EncodedPair, packPairs } from '../data/index.ts'
import {
  dpoLoss,
  mergeStats,
  readStats,
  sequenceLogprobs,
  sequenceLogprobsBackward,
  tokenLogprobs,
  tokenLogprobsBackward,
} from '../index.ts'
import type { Policy } from '../model/policy.ts'
import type { Scope } from '../scope.ts'
import type { OpTable } from '../spec/index.ts'
import { statsOf } from '../stats.ts'
import type { Tensor } from '../tensor.ts'
import type { OptionsOf } from '../types.ts'
import { type LoopOptions, optimize, type StepRecord } from './loop.ts'
import { responseLogprobs } from './response_logprobs.ts'
import { microBatches, responseRows } from './rows.ts'

type DpoLossOptions = OptionsOf<OpTable['dpoLoss']>

export interface DpoOptions extends LoopOptions {
  /** Default 'sigmoid'. */
  kind?: NonNullable<DpoLossOptions['kind']>
  /** Default 0.1. */
  beta?: number
  labelSmoothing?: number
  /** Weight of the mean negative log-probability of the preferred responses. Default 0. */
  sftCoefficient?: number
}

const pairTokens = ({ chosen, rejected }: EncodedPair): number => chosen.tokens.length + rejected.tokens.length
const responseLength = ({ tokens, promptLength }: EncodedPair['chosen']): number => tokens.length - promptLength
const sum = (values: Float32Array): number => values.reduce((total, x) => total + x, 0)

/** A pair with the reference model's log-probabilities of both responses, which never change during a run. */
interface ReferencedPair extends EncodedPair {
  refChosen: number
  refRejected: number
}

/** Where the reference model stands, once for the whole run. */
const withReference = async (
  reference: Policy,
  pairs: readonly EncodedPair[],
  maxTokens: number,
): Promise<ReferencedPair[]> => {
  const referenced: ReferencedPair[] = []
  for (const part of microBatches(pairs, pairTokens, maxTokens)) {
    const texts = part.flatMap(({ chosen, rejected }) => [chosen, rejected])
    const logprobs = await responseLogprobs(reference, texts, maxTokens)
    part.forEach((pair, i) => {
      referenced.push({ ...pair, refChosen: sum(logprobs[2 * i]), refRejected: sum(logprobs[2 * i + 1]) })
    })
  }
  return referenced
}

/** Sequences of a packed micro-batch that are imitated: chosen, or rejected where the preference says so. */
const preferredOf = (part: readonly ReferencedPair[]): number[] =>
  part.map(({ preference }, i) => (preference >= 0.5 ? i : part.length + i))

/** The loss of the pairs, and of the pairs swapped; the gradients of both add up. */
const lossOfPairs = (
  scope: Scope,
  part: readonly ReferencedPair[],
  logprob: Tensor<'f32'>,
  settings: DpoLossOptions & { normalizer: number },
) => {
  const P = part.length
  const column = (from: (pair: ReferencedPair) => number) => scope.tensor(Float32Array.from(part, from))
  const gradSequence = scope.own(scope.device.zeros([2 * P]))
  const half = (whole: Tensor<'f32'>, side: number) => scope.own(whole.view(side * P, [P]))
  const chosen = {
    policy: half(logprob, 0),
    ref: column((p) => p.refChosen),
    length: column((p) => responseLength(p.chosen)),
    gradient: half(gradSequence, 0),
  }
  const rejected = {
    policy: half(logprob, 1),
    ref: column((p) => p.refRejected),
    length: column((p) => responseLength(p.rejected)),
    gradient: half(gradSequence, 1),
  }
  const byLength = settings.kind === 'ipo' || settings.kind === 'sigmoid-norm'
  const loss = (first: typeof chosen, second: typeof chosen, weight: Tensor<'f32'>, accumulate: boolean) =>
    scope.own(
      dpoLoss(
        {
          policyChosen: first.policy,
          policyRejected: second.policy,
          refChosen: first.ref,
          refRejected: second.ref,
          ...(byLength ? { chosenLength: first.length, rejectedLength: second.length } : {}),
          weight,
        },
        { ...settings, accumulate },
        { out: { gradPolicyChosen: first.gradient, gradPolicyRejected: second.gradient } },
      ),
    )
  const weightOf = (share: (pair: ReferencedPair) => number) => column((p) => p.weight * share(p))
  const forward = loss(
    chosen,
    rejected,
    weightOf((p) => p.preference),
    false,
  )
  const swapped = loss(
    rejected,
    chosen,
    weightOf((p) => 1 - p.preference),
    true,
  )
  return { forward, swapped, gradSequence }
}

/** What {@link addDpoGradient} needs of the whole batch. */
interface BatchSettings {
  loss: DpoLossOptions & { normalizer: number }
  /** Gradient of the SFT term by each log-probability of a preferred response; 0: there is no such term. */
  imitation: number
}

/** Adds the gradient of one micro-batch up; what it returns can be called once the scope has been read. */
const addDpoGradient = (
  scope: Scope,
  policy: Policy,
  part: readonly ReferencedPair[],
  { loss, imitation }: BatchSettings,
) => {
  const { batch, targets, offsets, starts, count } = responseRows(scope, packPairs(part))
  const { logits, context } = policy.forward(batch, true)
  const token = scope.own(tokenLogprobs({ logits, tokens: targets }))
  const sequence = scope.own(sequenceLogprobs({ logprob: token.logprob, offsets }))
  const { forward, swapped, gradSequence } = lossOfPairs(scope, part, sequence.logprob, loss)
  const upstream = new Float32Array(count)
  if (imitation !== 0) for (const b of preferredOf(part)) upstream.fill(imitation, starts[b], starts[b + 1])
  const gradLogprob = scope.tensor(upstream)
  const { logprob, rowMax, logSum } = token
  sequenceLogprobsBackward(
    { gradSequence, like: logprob, offsets },
    { accumulate: imitation !== 0 },
    { out: { gradLogprob } },
  )
  tokenLogprobsBackward(
    { logits, tokens: targets, logprob, rowMax, logSum, gradLogprob },
    {},
    { out: { gradLogits: logits } },
  )
  policy.backward(context, { gradLogits: logits })
  const stats = scope.want(forward.stats)
  const losses = [scope.want(forward.loss), scope.want(swapped.loss)]
  const logps = scope.want(sequence.logprob)
  const tokenLogps = imitation === 0 ? undefined : scope.want(logprob)
  return () => {
    let nll = 0
    const values = tokenLogps?.()
    if (values !== undefined) {
      for (const b of preferredOf(part)) for (let r = starts[b]; r < starts[b + 1]; r++) nll -= values[r]
    }
    return {
      stats: statsOf(forward.stats, stats()),
      loss: losses[0]()[0] + losses[1]()[0],
      nll,
      chosen: sum(logps().subarray(0, part.length)),
      rejected: sum(logps().subarray(part.length)),
    }
  }
}

/**
 * Trains a policy on pairs against a frozen reference. A soft preference p weighs the loss of the pair by p and that of the
 * swapped pair by 1 - p. Records hold `loss`, `rewards/chosen`, `rewards/rejected`, `rewards/margins`, `rewards/accuracies`,
 * `logps/chosen`, `logps/rejected`.
 */
export async function* dpo(
  policy: Policy,
  reference: Policy,
  pairs: readonly EncodedPair[],
  options: DpoOptions,
): AsyncGenerator<StepRecord, void, void> {
  const { kind = 'sigmoid', beta = 0.1, labelSmoothing, sftCoefficient = 0, maxTokens = 16384 } = options
  const settings = { kind, beta, ...(labelSmoothing === undefined ? {} : { labelSmoothing }) }

  const step = (batch: readonly ReferencedPair[], scope: Scope) => {
    const preferredTokens = batch.reduce((n, p) => n + responseLength(p.preference >= 0.5 ? p.chosen : p.rejected), 0)
    const whole: BatchSettings = {
      loss: { ...settings, normalizer: batch.length },
      imitation: sftCoefficient > 0 ? -sftCoefficient / preferredTokens : 0,
    }
    const pending = microBatches(batch, pairTokens, maxTokens).map((part) => addDpoGradient(scope, policy, part, whole))
    return (): Record<string, number> => {
      const parts = pending.map((part) => part())
      const stats = readStats(mergeStats(...parts.map((part) => part.stats)))
      const total = (pick: (part: (typeof parts)[number]) => number) => parts.reduce((n, part) => n + pick(part), 0)
      const nll = total((part) => part.nll) / preferredTokens
      return {
        loss: total((part) => part.loss) + sftCoefficient * nll,
        'rewards/chosen': stats.chosenReward,
        'rewards/rejected': stats.rejectedReward,
        'rewards/margins': stats.margin,
        'rewards/accuracies': stats.accuracy,
        'logps/chosen': total((part) => part.chosen) / batch.length,
        'logps/rejected': total((part) => part.rejected) / batch.length,
        ...(sftCoefficient > 0 ? { nll_loss: nll } : {}),
      }
    }
  }
  const referenced = await withReference(reference, pairs, maxTokens)
  yield* optimize('dpo', policy, referenced, { step, tokens: pairTokens }, options)
}
