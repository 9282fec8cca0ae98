/** How a policy compares with the one it started from: win rates, distance, and what it did to its language. */

import { packSequences } from '../lib/data/index.ts'
import { tokenLogprobs } from '../lib/index.ts'
import type { TransformerPolicy } from '../lib/model/index.ts'
import { scoped } from '../lib/scope.ts'
import { evaluateNll, responseLogprobs } from '../lib/train/index.ts'
import type { EvaluationRow } from '../lib/train/report_data.ts'
import { microBatches, responseRows } from '../lib/train/rows.ts'
import { crossPairs, distinctNgrams, mean, repetitionRate, type WinRate, winRate } from '../lib/train/statistics.ts'
import type { Prompt } from './prompts.ts'
import { FIRST_YEAR } from './settings.ts'
import { type Judge, joined, type Sample, type World } from './world.ts'

export const compare = async (
  judge: Judge,
  prompts: readonly Prompt[],
  samples: readonly (readonly Sample[])[],
  baseline: readonly (readonly Sample[])[],
  seed: number,
): Promise<WinRate> => {
  const texts = prompts.flatMap(({ text: prompt }, p) =>
    [...samples[p], ...baseline[p]].map(({ text: completion }) => ({ prompt, completion })),
  )
  await judge.prepare?.(texts)
  return winRate(
    crossPairs(samples, baseline, (a, b, p) => judge.compare(a.text, b.text, prompts[p].text)),
    { seed },
  )
}

/** KL from the starting policy on the policy's own samples, nats a sequence: mean of the summed log-ratios. */
export const klFromStart = async (
  world: World,
  policy: TransformerPolicy,
  prompts: readonly Prompt[],
  samples: readonly (readonly Sample[])[],
): Promise<number> => {
  const texts = prompts.flatMap((prompt, p) => samples[p].map((sample) => joined(prompt, sample)))
  const total = async (model: TransformerPolicy): Promise<number[]> =>
    (await responseLogprobs(model, texts)).map((row) => row.reduce((a, b) => a + b, 0))
  const own = await total(policy)
  const start = await total(world.start)
  return mean(own.map((x, i) => x - start[i]))
}

/** Mean entropy of the next token on the policy's own samples, in nats. */
const entropyOf = async (
  policy: TransformerPolicy,
  prompts: readonly Prompt[],
  samples: readonly (readonly Sample[])[],
): Promise<number> => {
  const texts = prompts.flatMap((prompt, p) => samples[p].map((sample) => joined(prompt, sample)))
  let [total, count] = [0, 0]
  for (const part of microBatches(texts, ({ tokens }) => tokens.length, 16384)) {
    await scoped(policy.device, async (scope) => {
      const { batch, targets } = responseRows(scope, packSequences(part))
      const { logits } = policy.forward(batch)
      const { entropy } = scope.own(tokenLogprobs({ logits, tokens: targets }, { entropy: true }))
      const [values] = await scope.device.read([entropy!])
      for (const h of values) total += h
      count += values.length
    })
  }
  return total / Math.max(1, count)
}

/** Nats per byte of real held-out text after FIRST_YEAR: what the policy forgot of its language. */
export const natsPerByte = async (
  world: World,
  policy: TransformerPolicy,
  split: 'validation' | 'heldOut',
): Promise<number> => {
  const { nll, tokens } = await evaluateNll(policy, world.text(split, FIRST_YEAR, world.size.PRETRAIN.window))
  return (nll * tokens) / world.bytes(split, FIRST_YEAR)
}

/** exp of the nats per token on the same text. */
export const perplexity = async (
  world: World,
  policy: TransformerPolicy,
  split: 'validation' | 'heldOut',
): Promise<number> =>
  Math.exp((await evaluateNll(policy, world.text(split, FIRST_YEAR, world.size.PRETRAIN.window))).nll)

/** One row of the evaluation table; win rates against `baseline`. */
export const evaluationRow = async (
  world: World,
  name: string,
  slice: string,
  policy: TransformerPolicy,
  prompts: readonly Prompt[],
  samples: readonly (readonly Sample[])[],
  baseline: readonly (readonly Sample[])[] | undefined,
  seed: number,
): Promise<EvaluationRow> => {
  const tokens = samples.flat().map((sample) => sample.tokens)
  return {
    policy: name,
    slice,
    ...(baseline === undefined
      ? {}
      : {
          proxy: await compare(world.proxy, prompts, samples, baseline, seed),
          ...(world.gold === undefined ? {} : { gold: await compare(world.gold, prompts, samples, baseline, seed) }),
        }),
    kl: policy === world.start ? 0 : await klFromStart(world, policy, prompts, samples),
    entropy: await entropyOf(policy, prompts, samples),
    natsPerByte: await natsPerByte(world, policy, 'heldOut'),
    distinct3: distinctNgrams(tokens, 3),
    repetition: mean(tokens.map((sequence) => repetitionRate([sequence]))),
    length: mean(tokens.map((sequence) => sequence.length)),
  }
}
