/** Pairs of continuations with a soft preference each. */
import type { EncodedPair } from '../lib/data/index.ts'
import type { Prompt } from './prompts.ts'
import { type Judge, joined, type Sample } from './world.ts'

/** All K (K - 1) / 2 pairs of each prompt; `preference` is the share of the ten rating columns that favour the first. */
export const labelPairs = (
  prompts: readonly Prompt[],
  samples: readonly (readonly Sample[])[],
  judge: Judge,
): EncodedPair[] =>
  prompts.flatMap((prompt, p) => {
    const pairs: EncodedPair[] = []
    const own = samples[p]
    for (let i = 0; i < own.length; i++) {
      for (let j = i + 1; j < own.length; j++) {
        const preference = judge.compare(own[i].text, own[j].text, prompt.text)
        pairs.push({
          chosen: joined(prompt, own[i]),
          rejected: joined(prompt, own[j]),
          preference,
          margin: 0,
          weight: 1,
        })
      }
    }
    return pairs
  })

/**
 * One pair per prompt for DPO where the labels decide most, in order of prompts until `count`: the pair furthest from ½, then
 * the next, so that no prompt counts more than another.
 */
export const decidedPairs = (pairs: readonly EncodedPair[], perPrompt: number, count: number): EncodedPair[] => {
  const rounds: EncodedPair[][] = []
  for (let start = 0; start < pairs.length; start += perPrompt) {
    pairs
      .slice(start, start + perPrompt)
      .sort((a, b) => Math.abs(b.preference - 0.5) - Math.abs(a.preference - 0.5))
      .forEach((pair, round) => {
        rounds[round] ??= []
        if (pair.preference !== 0.5) rounds[round].push(pair)
      })
  }
  return rounds.flat().slice(0, count)
}

/** Turned so that the preferred one is called chosen. */
export const turned = (pair: EncodedPair): EncodedPair =>
  pair.preference >= 0.5
    ? pair
    : { ...pair, chosen: pair.rejected, rejected: pair.chosen, preference: 1 - pair.preference }
