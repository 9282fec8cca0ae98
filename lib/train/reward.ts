/** Reward modelling by Bradley-Terry: texts are scored once each, however many pairs they stand in. */
import type { EncodedExample, EncodedPair } from '../data/index.ts'
import { packSequences } from '../data/index.ts'
import type { Device } from '../device.ts'
import { bradleyTerryLoss, gatherRows, gatherRowsBackward, mergeStats, readStats } from '../index.ts'
import type { RewardModel, ScoreBatch } from '../model/policy.ts'
import { type Scope, scoped } from '../scope.ts'
import { statsOf } from '../stats.ts'
import { type LoopOptions, optimize, type StepRecord } from './loop.ts'
import { microBatches } from './rows.ts'

export interface RewardOptions extends LoopOptions {
  /** Weight of (chosen + rejected)^2. Default 0.01. */
  centerCoefficient?: number
  labelSmoothing?: number
}

/** All pairs of one prompt: K completions give K (K - 1) / 2 pairs but only K forward passes. */
interface PromptGroup {
  texts: EncodedExample[]
  pairs: { chosen: number; rejected: number; preference: number; margin: number; weight: number }[]
  tokens: number
}

/** Brings pairs of equal prompts together, in order of first appearance. */
const groupByPrompt = (pairs: readonly EncodedPair[]): PromptGroup[] => {
  const groups = new Map<string, PromptGroup & { index: Map<string, number> }>()
  for (const pair of pairs) {
    const key = pair.chosen.tokens.subarray(0, pair.chosen.promptLength).join()
    let group = groups.get(key)
    if (group === undefined) {
      group = { texts: [], pairs: [], tokens: 0, index: new Map() }
      groups.set(key, group)
    }
    const place = (text: EncodedExample): number => {
      const id = text.tokens.join()
      let at = group.index.get(id)
      if (at === undefined) {
        at = group.texts.push(text) - 1
        group.index.set(id, at)
        group.tokens += text.tokens.length
      }
      return at
    }
    const { preference, margin, weight } = pair
    group.pairs.push({ chosen: place(pair.chosen), rejected: place(pair.rejected), preference, margin, weight })
  }
  return [...groups.values()].map(({ texts, pairs, tokens }) => ({ texts, pairs, tokens }))
}

const scoreBatch = (on: Pick<Device, 'tensor'>, texts: readonly EncodedExample[]): ScoreBatch => {
  const { tokens, offsets } = packSequences(texts)
  // Only the response is pooled: the prompt is the same for both sides.
  const valid = new Uint8Array(tokens.length)
  texts.forEach(({ promptLength }, b) => {
    valid.fill(1, Math.min(offsets[b] + promptLength, offsets[b + 1] - 1), offsets[b + 1])
  })
  return { ids: on.tensor(tokens), offsets: on.tensor(offsets), valid: on.tensor(valid) }
}

interface PairIndex {
  texts: EncodedExample[]
  chosen: Int32Array
  rejected: Int32Array
  preference: Float32Array
  margin: Float32Array
  weight: Float32Array
}

const flatten = (groups: readonly PromptGroup[]): PairIndex => {
  const texts: EncodedExample[] = []
  const pairs: PromptGroup['pairs'] = []
  for (const group of groups) {
    const first = texts.length
    texts.push(...group.texts)
    for (const pair of group.pairs)
      pairs.push({ ...pair, chosen: first + pair.chosen, rejected: first + pair.rejected })
  }
  return {
    texts,
    chosen: Int32Array.from(pairs, ({ chosen }) => chosen),
    rejected: Int32Array.from(pairs, ({ rejected }) => rejected),
    preference: Float32Array.from(pairs, ({ preference }) => preference),
    margin: Float32Array.from(pairs, ({ margin }) => margin),
    weight: Float32Array.from(pairs, ({ weight }) => weight),
  }
}

/** Scores of texts, in their order. */
export const score = async (
  model: RewardModel,
  texts: readonly EncodedExample[],
  maxTokens = 32768,
): Promise<Float32Array> => {
  const scores = new Float32Array(texts.length)
  let done = 0
  for (const part of microBatches(texts, ({ tokens }) => tokens.length, maxTokens)) {
    await scoped(model.device, async (scope) => {
      const [values] = await scope.device.read([model.forward(scoreBatch(scope, part)).scores])
      scores.set(values, done)
    })
    done += part.length
  }
  return scores
}

type LossSettings = Required<Pick<RewardOptions, 'centerCoefficient' | 'labelSmoothing'>> & { normalizer: number }

/** Adds the gradient of one micro-batch up; what it returns can be called once the scope has been read. */
const addRewardGradient = (
  scope: Scope,
  model: RewardModel,
  groups: readonly PromptGroup[],
  settings: LossSettings,
) => {
  const { texts, ...pairs } = flatten(groups)
  const [chosen, rejected] = [scope.tensor(pairs.chosen), scope.tensor(pairs.rejected)]
  const { scores, context } = model.forward(scoreBatch(scope, texts), true)
  const column = scope.own(scores.reshape([texts.length, 1]))
  const pick = (rows: typeof chosen) => scope.own(scope.own(gatherRows({ x: column, rows })).y.reshape([rows.size]))
  const picked = { chosen: pick(chosen), rejected: pick(rejected) }
  const { preference, margin, weight } = pairs
  const result = scope.own(
    bradleyTerryLoss(
      { ...picked, preference: scope.tensor(preference), margin: scope.tensor(margin), weight: scope.tensor(weight) },
      settings,
    ),
  )
  const upright = (gradient: typeof result.gradChosen) => scope.own(gradient.reshape([gradient.size, 1]))
  const count = texts.length
  const { gradX } = scope.own(gatherRowsBackward({ gradY: upright(result.gradChosen), rows: chosen }, { count }))
  gatherRowsBackward(
    { gradY: upright(result.gradRejected), rows: rejected },
    { count, accumulate: true },
    { out: { gradX } },
  )
  model.backward(context, scope.own(gradX.reshape([count])))
  const stats = scope.want(result.stats)
  return {
    stats: () => statsOf(result.stats, stats()),
    // Every text stands in a pair.
    scores: [scope.want(picked.chosen), scope.want(picked.rejected)],
  }
}

/** Trains a reward model on pairs; `batchSize` counts prompts. Records hold `loss`, `accuracy`, `margin`, `mean_reward`, ... */
export const reward = (
  model: RewardModel,
  pairs: readonly EncodedPair[],
  options: RewardOptions,
): AsyncGenerator<StepRecord, void, void> => {
  const { centerCoefficient = 0.01, labelSmoothing = 0, maxTokens = 16384 } = options
  const step = (batch: readonly PromptGroup[], scope: Scope) => {
    const normalizer = batch.reduce((sum, group) => sum + group.pairs.length, 0)
    const settings = { centerCoefficient, labelSmoothing, normalizer }
    const parts = microBatches(batch, ({ tokens }) => tokens, maxTokens).map((part) =>
      addRewardGradient(scope, model, part, settings),
    )
    return () => {
      const { loss, accuracy, margin, chosenMean, rejectedMean } = readStats(
        mergeStats(...parts.map(({ stats }) => stats())),
      )
      const scores = parts.flatMap((part) => part.scores.map((values) => values()))
      const extreme = (pick: (a: number, b: number) => number, start: number) =>
        scores.reduce((found, values) => values.reduce((a: number, b: number) => pick(a, b), found), start)
      return {
        loss,
        accuracy,
        margin,
        mean_reward: (chosenMean + rejectedMean) / 2,
        min_reward: extreme(Math.min, Number.POSITIVE_INFINITY),
        max_reward: extreme(Math.max, Number.NEGATIVE_INFINITY),
      }
    }
  }
  return optimize('reward', model, groupByPrompt(pairs), { step, tokens: ({ tokens }) => tokens }, options)
}

/** How a reward model does on pairs that it did not see. */
export interface RewardEvaluation {
  loss: number
  /** Share of pairs with a preference (not ½) whose order it gets right. */
  accuracy: number
  /** Pairs with a preference. */
  decided: number
  /** Mean score difference in favour of the preferred response, over those pairs. */
  margin: number
  /** Probability that chosen wins, by the model, per pair: for calibration. */
  probability: Float64Array
  preference: Float64Array
}

export const evaluateReward = async (model: RewardModel, pairs: readonly EncodedPair[]): Promise<RewardEvaluation> => {
  const { texts, chosen, rejected, preference, margin, weight } = flatten(groupByPrompt(pairs))
  const scores = await score(model, texts)
  const loss = await scoped(model.device, async (scope) => {
    const pick = (rows: Int32Array) => scope.tensor(Float32Array.from(rows, (row) => scores[row]))
    const result = bradleyTerryLoss({
      chosen: pick(chosen),
      rejected: pick(rejected),
      preference: scope.tensor(preference),
      margin: scope.tensor(margin),
      weight: scope.tensor(weight),
    })
    const [[value]] = await scope.device.read([scope.own(result).loss])
    return value
  })
  let [right, decided, toward] = [0, 0, 0]
  const probability = new Float64Array(chosen.length)
  for (let i = 0; i < chosen.length; i++) {
    const gap = scores[chosen[i]] - scores[rejected[i]]
    probability[i] = 1 / (1 + Math.exp(-gap))
    if (preference[i] === 0.5) continue
    decided++
    right += gap === 0 ? 0.5 : Number(gap > 0 === preference[i] > 0.5)
    toward += preference[i] > 0.5 ? gap : -gap
  }
  return {
    loss,
    accuracy: right / Math.max(1, decided),
    decided,
    margin: toward / Math.max(1, decided),
    probability,
    preference: Float64Array.from(preference),
  }
}
