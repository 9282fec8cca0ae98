/** Held-out numbers, a piece at a time, so that Ctrl-C and the bar get their turn. */
import type { EncodedPair, EncodedPrompt, EncodedSft } from '../data/index.ts'
import type { RewardModel, TransformerPolicy } from '../model/policy.ts'
import type { Tokenizer } from '../model/tokenizer.ts'
import { breathe } from '../train/loop.ts'
import type { RewardSample } from '../train/ppo.ts'
import { responseLogprobs } from '../train/response_logprobs.ts'
import { evaluateReward } from '../train/reward.ts'
import { evaluateNll } from '../train/sft.ts'
import { calibration, type Estimate, wilsonInterval } from '../train/statistics.ts'
import type { Context } from './context.ts'

const PIECE = 64

/** Hands out pieces of a list, with the bar moved and Ctrl-C heard in between. */
async function* pieces<T>(
  { reporter, signal }: Pick<Context, 'reporter' | 'signal'>,
  name: string,
  items: readonly T[],
): AsyncGenerator<T[]> {
  for (let start = 0; start < items.length; start += PIECE) {
    yield items.slice(start, start + PIECE)
    reporter.progress(name, Math.min(items.length, start + PIECE), items.length)
    await breathe()
    signal.throwIfAborted()
  }
}

/** Nats over the response tokens of some examples: their sum and number. */
export const negativeLogprob = async (
  context: Pick<Context, 'reporter' | 'signal'>,
  policy: TransformerPolicy,
  examples: readonly EncodedSft[],
): Promise<{ nats: number; tokens: number }> => {
  const total = { nats: 0, tokens: 0 }
  for await (const piece of pieces(context, 'held-out loss', examples)) {
    const { nll, tokens } = await evaluateNll(policy, piece)
    total.nats += nll * tokens
    total.tokens += tokens
  }
  return total
}

/** How a reward model orders held-out pairs. */
export interface RewardQuality {
  loss: number
  /** Over the pairs with a preference, with its 95 % interval (Wilson). */
  accuracy: Estimate
  decided: number
  pairs: number
  /** Expected difference between its probabilities and the labels, in [0, 1]. */
  calibrationError: number
  /** Mean score difference in favour of the preferred response. */
  margin: number
}

export const rewardQuality = async (
  context: Pick<Context, 'reporter' | 'signal'>,
  model: RewardModel,
  pairs: readonly EncodedPair[],
): Promise<RewardQuality> => {
  const probability: number[] = []
  const preference: number[] = []
  let [loss, right, decided, margin] = [0, 0, 0, 0]
  for await (const piece of pieces(context, 'held-out pairs', pairs)) {
    const part = await evaluateReward(model, piece)
    probability.push(...part.probability)
    preference.push(...part.preference)
    loss += part.loss * piece.length
    right += part.accuracy * part.decided
    margin += part.margin * part.decided
    decided += part.decided
  }
  return {
    loss: loss / pairs.length,
    accuracy: decided === 0 ? { value: Number.NaN, low: Number.NaN, high: Number.NaN } : wilsonInterval(right, decided),
    decided,
    pairs: pairs.length,
    calibrationError: calibration(probability, preference).expectedError,
    margin: decided === 0 ? Number.NaN : margin / decided,
  }
}

/**
 * How often the implicit reward of DPO, log p / p_reference, orders held-out pairs as their labels do, and by how many
 * nats on average; a tie of the rewards counts one half.
 */
export const implicitAccuracy = async (
  context: Pick<Context, 'reporter' | 'signal'>,
  policy: TransformerPolicy,
  reference: TransformerPolicy,
  pairs: readonly EncodedPair[],
): Promise<{ accuracy: number; margin: number; decided: number }> => {
  let [right, margin, decided] = [0, 0, 0]
  for await (const piece of pieces(context, 'held-out pairs', pairs)) {
    const texts = piece.flatMap(({ chosen, rejected }) => [chosen, rejected])
    const own = (await responseLogprobs(policy, texts)).map(sum)
    const other = (await responseLogprobs(reference, texts)).map(sum)
    piece.forEach(({ preference }, i) => {
      if (preference === 0.5) return
      const gap = own[2 * i] - other[2 * i] - (own[2 * i + 1] - other[2 * i + 1])
      const toward = preference > 0.5 ? gap : -gap
      right += toward === 0 ? 0.5 : Number(toward > 0)
      margin += toward
      decided++
    })
  }
  return { accuracy: right / decided, margin: margin / decided, decided }
}

const sum = (values: Float32Array): number => values.reduce((total, x) => total + x, 0)

/** Completions of prompts, as a reward sees them. */
export const complete = async (
  { reporter, signal }: Pick<Context, 'reporter' | 'signal'>,
  policy: TransformerPolicy,
  tokenizer: Tokenizer,
  prompts: readonly EncodedPrompt[],
  options: { maxNewTokens: number; temperature: number; topK?: number; topP?: number; seed: number },
): Promise<(RewardSample & { ended: boolean })[]> => {
  const { maxNewTokens, topK, topP, ...rest } = options
  const completions = await policy.generate(
    prompts.map(({ tokens }) => tokens),
    {
      ...rest,
      ...(topK === undefined ? {} : { topK }),
      ...(topP === undefined ? {} : { topP }),
      maxTokens: maxNewTokens,
      endOfText: tokenizer.endOfText,
      signal,
      onProgress: (done, total) => reporter.progress('generating', done, total),
    },
  )
  return completions.map(({ tokens, ended }, i) => ({
    prompt: prompts[i].prompt,
    completion: tokenizer.decode(tokens),
    promptTokens: prompts[i].tokens,
    completionTokens: tokens,
    ended,
  }))
}
