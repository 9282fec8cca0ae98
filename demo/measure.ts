/** How a policy compares with the one it started from: win rates, distance, and what it did to its language. */

import { packSequences } from '../lib/data/index.ts'
import { tokenLogprobs } from '../lib/index.ts'
import type { TransformerPolicy } from '../lib/model/index.ts'
import { evaluateNll, responseLogprobs } from '../lib/train/index.ts'
import type { EvaluationRow } from '../lib/train/report_data.ts'
import { microBatches, responseRows } from '../lib/train/rows.ts'
import { crossPairs, distinctNgrams, mean, repetitionRate, type WinRate, winRate } from '../lib/train/statistics.ts'
import type { Prompt } from './prompts.ts'
import { FIRST_YEAR } from './settings.ts'
import { type Judge, joined, PRETRAIN_WINDOW, type Sample, type World } from './world.ts'

export const compare = (
  judge: Judge,
  prompts: readonly Prompt[],
  samples: readonly (readonly Sample[])[],
  baseline: readonly (readonly Sample[])[],
  seed: number,
): WinRate =>
  winRate(
    crossPairs(samples, baseline, (a, b, p) => judge.compare(a.text, b.text, prompts[p].text)),
    { seed },
  )

/** KL from the starting policy on the policy's own samples, nats a sequence: mean of the summed log-ratios. */
export const klFromStart = (
  world: World,
  policy: TransformerPolicy,
  prompts: readonly Prompt[],
  samples: readonly (readonly Sample[])[],
): number => {
  const texts = prompts.flatMap((prompt, p) => samples[p].map((sample) => joined(prompt, sample)))
  const total = (model: TransformerPolicy): number[] =>
    responseLogprobs(model, texts).map((row) => row.reduce((a, b) => a + b, 0))
  const own = total(policy)
  const start = total(world.start)
  return mean(own.map((x, i) => x - start[i]))
}

/** Mean entropy of the next token on the policy's own samples, in nats. */
const entropyOf = (
  policy: TransformerPolicy,
  prompts: readonly Prompt[],
  samples: readonly (readonly Sample[])[],
): number => {
  const texts = prompts.flatMap((prompt, p) => samples[p].map((sample) => joined(prompt, sample)))
  let [total, count] = [0, 0]
  for (const part of microBatches(texts, ({ tokens }) => tokens.length, 16384)) {
    const rows = responseRows(policy.device, packSequences(part))
    const { logits } = policy.forward(rows.batch)
    for (const h of tokenLogprobs({ logits, tokens: rows.targets }, { entropy: true }).entropy!.data) total += h
    count += rows.count
  }
  return total / Math.max(1, count)
}

/** Nats per byte of real held-out text after FIRST_YEAR: what the policy forgot of its language. */
export const natsPerByte = (world: World, policy: TransformerPolicy, split: 'validation' | 'heldOut'): number => {
  const { nll, tokens } = evaluateNll(policy, world.text(split, FIRST_YEAR, PRETRAIN_WINDOW))
  return (nll * tokens) / world.bytes(split, FIRST_YEAR)
}

/** exp of the nats per token on the same text. */
export const perplexity = (world: World, policy: TransformerPolicy, split: 'validation' | 'heldOut'): number =>
  Math.exp(evaluateNll(policy, world.text(split, FIRST_YEAR, PRETRAIN_WINDOW)).nll)

/** One row of the evaluation table; win rates against `baseline`. */
export const evaluationRow = (
  world: World,
  name: string,
  slice: string,
  policy: TransformerPolicy,
  prompts: readonly Prompt[],
  samples: readonly (readonly Sample[])[],
  baseline: readonly (readonly Sample[])[] | undefined,
  seed: number,
): EvaluationRow => {
  const tokens = samples.flat().map((sample) => sample.tokens)
  return {
    policy: name,
    slice,
    ...(baseline === undefined
      ? {}
      : {
          proxy: compare(world.proxy, prompts, samples, baseline, seed),
          ...(world.gold === undefined ? {} : { gold: compare(world.gold, prompts, samples, baseline, seed) }),
        }),
    kl: policy === world.start ? 0 : klFromStart(world, policy, prompts, samples),
    entropy: entropyOf(policy, prompts, samples),
    natsPerByte: natsPerByte(world, policy, 'heldOut'),
    distinct3: distinctNgrams(tokens, 3),
    repetition: mean(tokens.map((sequence) => repetitionRate([sequence]))),
    length: mean(tokens.map((sequence) => sequence.length)),
  }
}
