/** The stages that train: reward model, PPO, DPO, each looked at on validation prompts as it goes. */
import type { EncodedPair } from '../lib/data/index.ts'
import { RewardModel, type TransformerPolicy } from '../lib/model/index.ts'
import { dpo, ppo, type Reward, reward, score } from '../lib/train/index.ts'
import type { CheckpointReport } from '../lib/train/report_data.ts'
import { mean } from '../lib/train/statistics.ts'
import { compare, klFromStart, perplexity } from './measure.ts'
import type { Prompt } from './prompts.ts'
import { FIRST_YEAR } from './settings.ts'
import { encodedPrompt, joined, type Sample, type World } from './world.ts'

export interface Curve {
  name: string
  points: [number, number][]
}

type Progress = (done: number, total: number) => void

export const trainReward = async (
  world: World,
  pairs: readonly EncodedPair[],
  seed: number,
  progress: Progress,
): Promise<{ model: RewardModel; curve: Curve }> => {
  const model = RewardModel.fromPolicy(world.start)
  const curve: Curve = { name: 'loss', points: [] }
  const { epochs, batchPrompts: batchSize, ...rest } = world.size.REWARD
  const total =
    Math.ceil(
      new Set(pairs.map(({ chosen }) => chosen.tokens.subarray(0, chosen.promptLength).join())).size / batchSize,
    ) * epochs
  for await (const record of reward(model, pairs, { ...rest, epochs, batchSize, seed })) {
    curve.points.push([record.step, record.loss])
    progress(record.step, total)
  }
  return { model, curve }
}

/** Validation prompts with the starting policy's own samples, to judge checkpoints by. */
export interface Validation {
  prompts: readonly Prompt[]
  start: Sample[][]
  startPerplexity: number
}

export const makeValidation = async (world: World, seed: number): Promise<Validation> => {
  const { prompts: count, perPrompt } = world.size.VALIDATION
  const prompts = world.prompts({ split: 'validation', count, seed, from: FIRST_YEAR })
  const start = await world.sample(world.start, prompts, perPrompt, seed + 1)
  return { prompts, start, startPerplexity: await perplexity(world, world.start, 'validation') }
}

/** Keeps the checkpoint with the best proxy win rate among those whose perplexity stays near the start's. */
class Lookout {
  readonly checkpoints: CheckpointReport[] = []
  chosenStep = 0
  best: TransformerPolicy | undefined
  readonly #world: World
  readonly #validation: Validation
  readonly #rewardModel: RewardModel
  readonly #seed: number
  #bestRate = 0

  constructor(world: World, validation: Validation, rewardModel: RewardModel, seed: number) {
    this.#world = world
    this.#validation = validation
    this.#rewardModel = rewardModel
    this.#seed = seed
  }

  async look(policy: TransformerPolicy, step: number): Promise<void> {
    const { prompts, start, startPerplexity } = this.#validation
    const world = this.#world
    const samples = await world.sample(policy, prompts, world.size.VALIDATION.perPrompt, this.#seed)
    const rate = async (judge: World['proxy']): Promise<number> =>
      (await compare(judge, prompts, samples, start, this.#seed)).tiesHalf.value
    const texts = prompts.flatMap((prompt, p) => samples[p].map((sample) => joined(prompt, sample)))
    const proxy = await rate(world.proxy)
    this.checkpoints.push({
      step,
      kl: await klFromStart(world, policy, prompts, samples),
      reward: mean(await score(this.#rewardModel, texts)),
      proxy,
      ...(world.gold === undefined ? {} : { gold: await rate(world.gold) }),
    })
    // A policy that lost its language does not count, whatever it wins.
    const fluent = (await perplexity(world, policy, 'validation')) <= world.size.FLUENT * startPerplexity
    if (this.best === undefined || (fluent && proxy > this.#bestRate)) {
      this.best?.dispose()
      this.best = policy.clone({ valueHead: false })
      this.#bestRate = fluent ? proxy : 0
      this.chosenStep = step
    }
  }
}

export interface Trained {
  policy: TransformerPolicy
  checkpoints: CheckpointReport[]
  chosenStep: number
  curves: Curve[]
}

export const trainPpo = async (
  world: World,
  rewardModel: RewardModel,
  prompts: readonly Prompt[],
  validation: Validation,
  options: { seed: number; goodhart: boolean; progress: Progress },
): Promise<Trained> => {
  const { seed, goodhart, progress } = options
  const policy = world.start.clone({ valueHead: true })
  const lookout = new Lookout(world, validation, rewardModel, seed + 2)
  await lookout.look(policy, 0)
  const byModel: Reward = (samples) =>
    score(
      rewardModel,
      samples.map(({ promptTokens, completionTokens }) => {
        const tokens = new Int32Array(promptTokens.length + completionTokens.length)
        tokens.set(promptTokens)
        tokens.set(completionTokens, promptTokens.length)
        return { tokens, promptLength: promptTokens.length }
      }),
    )
  // Goodhart's law needs freedom: no penalty, no reminder of real text, no stop.
  const { PPO, VALIDATION } = world.size
  const { klTarget, ptxTokens, ptxCoefficient, klCoefficient, klFloor, ...rest } = PPO
  const leash = goodhart ? { klCoefficient: 0 } : { klTarget, ptxCoefficient, klCoefficient, klFloor }
  const every = Math.max(1, Math.floor(PPO.iterations / VALIDATION.looks))
  const curves: Curve[] = ['policy loss', 'value loss', 'score', 'KL'].map((name) => ({ name, points: [] }))
  for await (const record of ppo(policy, world.start, byModel, prompts.map(encodedPrompt), {
    ...rest,
    ...leash,
    maxNewTokens: world.size.COMPLETION_TOKENS,
    pretrain: goodhart ? [] : world.text('train', FIRST_YEAR, ptxTokens),
    endOfText: world.tokenizer.endOfText,
    decode: (ids) => world.tokenizer.decode(ids),
    seed,
  })) {
    const values = [
      record['loss/policy_avg'],
      record['loss/value_avg'],
      record['objective/scores'],
      record['objective/kl'],
    ]
    values.forEach((value, i) => void curves[i].points.push([record.step, value]))
    progress(record.step, PPO.iterations)
    if (record.step % every === 0) await lookout.look(policy, record.step)
  }
  const chosen = goodhart ? policy.clone({ valueHead: false }) : lookout.best!
  const last = lookout.checkpoints[lookout.checkpoints.length - 1].step
  return { policy: chosen, checkpoints: lookout.checkpoints, chosenStep: goodhart ? last : lookout.chosenStep, curves }
}

export const trainDpo = async (
  world: World,
  rewardModel: RewardModel,
  pairs: readonly EncodedPair[],
  validation: Validation,
  options: { seed: number; progress: Progress },
): Promise<Trained> => {
  const { seed, progress } = options
  const policy = world.start.clone({ valueHead: false })
  const lookout = new Lookout(world, validation, rewardModel, seed + 3)
  await lookout.look(policy, 0)
  const { DPO, VALIDATION } = world.size
  const { epochs, batchPairs: batchSize, lr, beta, sftCoefficient } = DPO
  const total = Math.ceil(pairs.length / batchSize) * epochs
  const every = Math.max(1, Math.floor(total / VALIDATION.looks))
  const curves: Curve[] = ['loss', 'accuracy', 'margin'].map((name) => ({ name, points: [] }))
  for await (const record of dpo(policy, world.start, pairs, { epochs, batchSize, lr, beta, sftCoefficient, seed })) {
    const values = [record.loss, record['rewards/accuracies'], record['rewards/margins']]
    values.forEach((value, i) => void curves[i].points.push([record.step, value]))
    progress(record.step, total)
    if (record.step % every === 0) await lookout.look(policy, record.step)
  }
  return { policy: lookout.best!, checkpoints: lookout.checkpoints, chosenStep: lookout.chosenStep, curves }
}
