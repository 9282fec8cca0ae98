/**
 * Proximal policy optimization from a reward: roll out, score, shape with KL, estimate advantages, and take a few epochs of
 * clipped minibatch steps; then again.
 */
import type { EncodedPrompt, EncodedSft } from '../data/index.ts'
import { mergeStats, readStats } from '../index.ts'
import type { Policy } from '../model/policy.ts'
import { AdamW, type AdamWOptions } from '../optim/adamw.ts'
import { schedule } from '../optim/schedule.ts'
import { Random } from '../random.ts'
import { refuse } from '../refuse.ts'
import { KlController } from './kl_controller.ts'
import { aborted, breathe, defined, packState, unpackState } from './loop.ts'
import { RunningMoments } from './moments.ts'
import { type PpoStep, ppoStep, type RoundTotals } from './ppo_step.ts'
import { collect, responseLength, shape } from './rollouts.ts'
import type { SnapshotStore } from './store.ts'

/** What a reward function sees of one rollout. */
export interface RewardSample {
  prompt: string
  completion: string
  promptTokens: Int32Array
  completionTokens: Int32Array
}

/** One score per sample (higher is better), from a reward model, a function, or people. */
export type Reward = (samples: readonly RewardSample[]) => ArrayLike<number> | Promise<ArrayLike<number>>

export interface PpoOptions extends AdamWOptions {
  /** Rollout rounds. */
  iterations: number
  /** Rollouts per round. Default 128. */
  rollouts?: number
  maxNewTokens: number
  temperature?: number
  topK?: number
  topP?: number
  /** Passes over the rollouts of a round. Default 2. */
  epochs?: number
  /** Optimizer steps per pass. Default 4. */
  minibatches?: number
  lr: number
  warmupRatio?: number
  /** First weight of the KL penalty (beta). Default 0.05. */
  klCoefficient?: number
  /** KL per sequence in nats to steer to; absent: the weight is fixed. */
  klTarget?: number
  klFloor?: number
  klHorizon?: number
  /** A round's remaining steps are left out when its KL from the rollout policy per token exceeds this. Default 0.05. */
  stopKl?: number
  /** The run ends when the KL from the reference exceeds this many times klTarget. Default 1.5. */
  stopAtKlTarget?: number
  gamma?: number
  lambda?: number
  clipLow?: number
  clipHigh?: number
  valueClip?: number
  /** Weight of the value loss. Default 0.1. */
  valueCoefficient?: number
  /** Scores are shifted and scaled by their running moments. Default true. */
  normalizeScores?: boolean
  /** Added to the score of rollouts that did not end by themselves. Default 0. */
  missingEndPenalty?: number
  /** Texts that the policy must not unlearn, and the weight of their loss (ptx). */
  pretrain?: readonly EncodedSft[]
  ptxCoefficient?: number
  maxTokens?: number
  seed?: number
  endOfText: number
  /** Text of token ids, for the reward. */
  decode: (ids: ArrayLike<number>) => string
  signal?: AbortSignal
  store?: SnapshotStore
  saveEvery?: number
  onProgress?: (stage: 'rollout' | 'train', done: number, total: number) => void
}

/** One round, under TRL's names. KL is against the reference, in nats per sequence. */
export interface PpoRecord {
  step: number
  episode: number
  lr: number
  'objective/kl': number
  'objective/entropy': number
  'objective/non_score_reward': number
  'objective/rlhf_reward': number
  'objective/scores': number
  'policy/approxkl_avg': number
  'policy/clipfrac_avg': number
  'policy/entropy_avg': number
  'loss/policy_avg': number
  'loss/value_avg': number
  'val/clipfrac_avg': number
  'val/ratio': number
  'val/num_eos_tokens': number
  kl_coef: number
  [metric: string]: number
}

/** Trains a policy with a value head toward a reward, near a frozen reference; yields one record a round. */
export async function* ppo(
  policy: Policy,
  reference: Policy,
  reward: Reward,
  prompts: readonly EncodedPrompt[],
  options: PpoOptions,
): AsyncGenerator<PpoRecord, void, void> {
  const {
    iterations,
    rollouts = 128,
    maxNewTokens,
    temperature = 1,
    epochs = 2,
    minibatches = 4,
    lr,
    seed = 0,
  } = options
  const {
    klCoefficient = 0.05,
    klTarget,
    stopKl = 0.05,
    stopAtKlTarget = 1.5,
    maxTokens = 16384,
    signal,
    store,
  } = options
  const { ptxCoefficient = 0, pretrain = [], normalizeScores = true, missingEndPenalty = 0 } = options
  const { beta1, beta2, epsilon, weightDecay, maxNorm, saveEvery = 5 } = options
  if (prompts.length === 0) refuse('ERR_DATA', 'there are no prompts to roll out.', { op: 'ppo', arg: 'prompts' })
  const optimizer = new AdamW(
    policy.parameters(),
    policy.gradients,
    defined({ beta1, beta2, epsilon, weightDecay, maxNorm }),
  )
  const totalSteps = iterations * epochs * minibatches
  const rate = schedule({
    lr,
    steps: totalSteps,
    warmup: Math.round((options.warmupRatio ?? 0.05) * totalSteps),
    floor: 0.2,
  })
  const controller = new KlController({
    initial: klCoefficient,
    target: klTarget,
    floor: options.klFloor,
    horizon: options.klHorizon,
  })
  const moments = new RunningMoments()
  let random = new Random(seed)
  let round = 0
  let optimizerSteps = 0
  let ended = false
  const snapshot = await store?.restore()
  if (snapshot !== undefined) {
    unpackState(policy, optimizer, snapshot.arrays)
    const { state } = snapshot
    round = snapshot.step
    optimizerSteps = state.optimizerSteps as number
    random = Random.fromState(state.random as ReturnType<Random['state']>)
    controller.restore(state.klCoefficient as number)
    moments.restore(state.moments as [number, number, number])
    ended = state.ended as boolean
  }
  const save = async () =>
    store?.save({
      step: round,
      arrays: await packState(policy, optimizer),
      state: {
        optimizerSteps,
        random: random.state(),
        klCoefficient: controller.state(),
        moments: moments.state(),
        ended,
      },
    })

  try {
    if (snapshot === undefined) await save()
    while (round < iterations && !ended) {
      if (signal?.aborted === true) throw aborted('ppo', round, await save(), signal.reason)
      const roundStart = random.state()
      const batch = Array.from({ length: rollouts }, () => prompts[random.integer(prompts.length)])
      const completions = await policy
        .generate(
          batch.map(({ tokens }) => tokens),
          {
            maxTokens: maxNewTokens,
            temperature,
            ...defined({ topK: options.topK, topP: options.topP, signal }),
            endOfText: options.endOfText,
            seed: random.integer(2 ** 31),
            onProgress: (done, total) => options.onProgress?.('rollout', done, total),
          },
        )
        .catch(async (error: unknown) => {
          if (signal?.aborted !== true) throw error
          // The round begins again when the run is resumed.
          random = Random.fromState(roundStart)
          throw aborted('ppo', round, await save(), error)
        })
      const samples = completions.map(({ tokens }, i) => ({
        prompt: batch[i].prompt,
        completion: options.decode(tokens),
        promptTokens: batch[i].tokens,
        completionTokens: tokens,
      }))
      const scores = Float64Array.from(await reward(samples))
      checkScores(scores, samples.length)
      moments.add(scores)
      const collected = await collect(policy, completions, batch, scores, { temperature, maxTokens })
      const shaped = await shape(reference, collected, {
        scoreOf: ({ score }) => (normalizeScores ? (score - moments.mean) / moments.deviation : score),
        coefficient: controller.coefficient,
        missingEndPenalty,
        maxTokens,
        ...defined({ gamma: options.gamma, lambda: options.lambda }),
      })

      const results: PpoStep[] = []
      const totals: RoundTotals = { entropy: 0, tokens: 0, nll: 0, nllTokens: 0, gradNorm: 0, refused: 0 }
      let stopped = 0
      training: for (let epoch = 0; epoch < epochs; epoch++) {
        const order = random.shuffle(Array.from(collected, (_, i) => i))
        for (let m = 0; m < minibatches; m++) {
          const part = order.slice(
            Math.floor((m * rollouts) / minibatches),
            Math.floor(((m + 1) * rollouts) / minibatches),
          )
          const texts =
            ptxCoefficient > 0 && pretrain.length > 0
              ? Array.from(part, () => pretrain[random.integer(pretrain.length)])
              : []
          const list = part.map((i) => collected[i])
          const result = await ppoStep(policy, optimizer, { list, texts, lr: rate(optimizerSteps) }, options, totals)
          optimizerSteps++
          results.push(result)
          options.onProgress?.('train', epoch * minibatches + m + 1, epochs * minibatches)
          await breathe()
          if (readStats(result.policy).approxKl > stopKl) {
            stopped = 1
            break training
          }
        }
      }
      round++
      controller.update(shaped.kl, rollouts)
      ended = klTarget !== undefined && shaped.kl > stopAtKlTarget * klTarget
      const policyStats = readStats(mergeStats(...results.map((result) => result.policy)))
      const valueStats = readStats(mergeStats(...results.map((result) => result.value)))
      const meanScore = scores.reduce((a, b) => a + b, 0) / scores.length
      const record: PpoRecord = {
        step: round,
        episode: round * rollouts,
        lr: rate(Math.max(0, optimizerSteps - 1)),
        'objective/kl': shaped.kl,
        'objective/entropy': shaped.entropy,
        'objective/non_score_reward': shaped.nonScore,
        'objective/rlhf_reward': shaped.nonScore + meanScore,
        'objective/scores': meanScore,
        'policy/approxkl_avg': policyStats.approxKl,
        'policy/clipfrac_avg': policyStats.clipFraction,
        'policy/entropy_avg': totals.entropy / Math.max(1, totals.tokens),
        'loss/policy_avg': policyStats.loss,
        'loss/value_avg': valueStats.loss,
        'val/clipfrac_avg': valueStats.clipFraction,
        'val/ratio': policyStats.ratioMean,
        'val/explained_variance': valueStats.explainedVariance,
        'val/num_eos_tokens': collected.filter((rollout) => rollout.ended).length,
        'val/response_length': collected.reduce((n, rollout) => n + responseLength(rollout), 0) / rollouts,
        kl_coef: shaped.coefficient,
        grad_norm: totals.gradNorm / results.length,
        stopped_early: stopped,
        ...(totals.nllTokens > 0 ? { 'loss/ptx_avg': totals.nll / totals.nllTokens } : {}),
        ...(totals.refused > 0 ? { refused_steps: totals.refused } : {}),
      }
      store?.log(record)
      if (round % saveEvery === 0 || round === iterations || ended) await save()
      yield record
      await breathe()
    }
  } finally {
    optimizer.dispose()
  }
}

const checkScores = (scores: Float64Array, expected: number): void => {
  if (scores.length !== expected) {
    refuse('ERR_ARGUMENT', `the reward gave ${scores.length} scores for ${expected} samples.`, {
      op: 'ppo',
      arg: 'reward',
      fix: 'Return one number per sample, in order.',
    })
  }
  const bad = scores.findIndex((score) => !Number.isFinite(score))
  if (bad >= 0) {
    refuse('ERR_BAD_VALUE', `the reward of sample ${bad} is ${scores[bad]}.`, {
      op: 'ppo',
      arg: 'reward',
      index: bad,
      value: scores[bad],
      fix: 'Return a finite number for every sample.',
    })
  }
}
