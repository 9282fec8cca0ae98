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
import type { OpTable } from '../spec/index.ts'
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
  const { device } = policy
  const settings = { kind, beta, ...(labelSmoothing === undefined ? {} : { labelSmoothing }) }
  const lengths = kind === 'ipo' || kind === 'sigmoid-norm'

  const referenced: ReferencedPair[] = []
  for (const part of microBatches(pairs, pairTokens, maxTokens)) {
    const logprobs = responseLogprobs(
      reference,
      part.flatMap(({ chosen, rejected }) => [chosen, rejected]),
      maxTokens,
    )
    part.forEach((pair, i) => {
      referenced.push({ ...pair, refChosen: sum(logprobs[2 * i]), refRejected: sum(logprobs[2 * i + 1]) })
    })
  }

  /** Gradients of one micro-batch, with the denominators of the whole batch. */
  const addGradient = (part: readonly ReferencedPair[], normalizer: number, chosenTokens: number) => {
    const packed = packPairs(part)
    const rows = responseRows(device, packed)
    const P = part.length
    const { logits, context } = policy.forward(rows.batch, true)
    const token = tokenLogprobs({ logits, tokens: rows.targets })
    const sequence = sequenceLogprobs({ logprob: token.logprob, offsets: rows.offsets })
    const column = (from: (pair: ReferencedPair) => number) => device.tensor(Float32Array.from(part, from))
    const side = (swap: boolean) => {
      const chosen = {
        policy: sequence.logprob.view(0, [P]),
        ref: column((p) => p.refChosen),
        length: column((p) => responseLength(p.chosen)),
      }
      const rejected = {
        policy: sequence.logprob.view(P, [P]),
        ref: column((p) => p.refRejected),
        length: column((p) => responseLength(p.rejected)),
      }
      const [first, second] = swap ? [rejected, chosen] : [chosen, rejected]
      return {
        policyChosen: first.policy,
        policyRejected: second.policy,
        refChosen: first.ref,
        refRejected: second.ref,
        ...(lengths ? { chosenLength: first.length, rejectedLength: second.length } : {}),
        weight: column((p) => p.weight * (swap ? 1 - p.preference : p.preference)),
      }
    }
    const gradSequence = device.zeros([2 * P])
    const [gradChosen, gradRejected] = [gradSequence.view(0, [P]), gradSequence.view(P, [P])]
    const forward = dpoLoss(
      side(false),
      { ...settings, normalizer },
      { out: { gradPolicyChosen: gradChosen, gradPolicyRejected: gradRejected } },
    )
    const swapped = dpoLoss(
      side(true),
      { ...settings, normalizer, accumulate: true },
      { out: { gradPolicyChosen: gradRejected, gradPolicyRejected: gradChosen } },
    )
    const { gradLogprob } = sequenceLogprobsBackward({ gradSequence, like: token.logprob, offsets: rows.offsets })
    let nll = 0
    if (sftCoefficient > 0) {
      // The preferred response is imitated: chosen, or rejected where the preference says so.
      const offsets = rows.offsets.data
      part.forEach((pair, i) => {
        const b = pair.preference >= 0.5 ? i : P + i
        for (let r = offsets[b]; r < offsets[b + 1]; r++) {
          gradLogprob.data[r] -= sftCoefficient / chosenTokens
          nll -= token.logprob.data[r]
        }
      })
    }
    const { logprob, rowMax, logSum } = token
    tokenLogprobsBackward(
      { logits, tokens: rows.targets, logprob, rowMax, logSum, gradLogprob },
      {},
      { out: { gradLogits: logits } },
    )
    policy.backward(context, { gradLogits: logits })
    const logps = sequence.logprob.data
    return {
      stats: mergeStats(forward),
      loss: forward.loss.item() + swapped.loss.item(),
      nll,
      chosen: logps.subarray(0, P).reduce((a, b) => a + b, 0),
      rejected: logps.subarray(P).reduce((a, b) => a + b, 0),
    }
  }

  const step = (batch: readonly ReferencedPair[]): Record<string, number> => {
    const preferredTokens = batch.reduce((n, p) => n + responseLength(p.preference >= 0.5 ? p.chosen : p.rejected), 0)
    const parts = microBatches(batch, pairTokens, maxTokens).map((part) =>
      addGradient(part, batch.length, preferredTokens),
    )
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
  yield* optimize('dpo', policy, referenced, { step, tokens: pairTokens }, options)
}
