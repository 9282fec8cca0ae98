/** `--preferences FILE`: the user's own pairs in place of the word ratings. */
import {
  describeCounts,
  type EncodedExample,
  type EncodedPair,
  encodePairs,
  readPreferences,
  splitByPrompt,
} from '../lib/data/index.ts'
import type { RewardModel } from '../lib/model/index.ts'
import { score } from '../lib/train/index.ts'
import type { Judge, World } from './world.ts'

/** Share of the prompts, by hash, that the reward model is tested on. */
const HELD_OUT = 0.1

export interface OwnPairs {
  train: EncodedPair[]
  heldOut: EncodedPair[]
  sha256: string
  /** What was read and what was left out, for people. */
  counts: string
}

export const readOwnPairs = async (world: World, path: string): Promise<OwnPairs> => {
  const { examples, report } = await readPreferences(path).load()
  const split = splitByPrompt(examples, { heldOut: HELD_OUT })
  const options = { maxLength: world.start.model.config.contextLength, truncate: 'prompt-left' } as const
  const train = encodePairs(split.train, world.tokenizer, options)
  const heldOut = encodePairs(split.heldOut, world.tokenizer, options)
  return { train: train.pairs, heldOut: heldOut.pairs, sha256: report.sha256, counts: describeCounts(train.counts) }
}

/** The reward model as a judge: all that can be said of texts that nobody rated. */
export const rewardJudge = (world: World, model: RewardModel): Judge => {
  const known = new Map<string, number>()
  const keyOf = (prompt: string, completion: string): string => `${prompt}\0${completion}`
  const exampleOf = ({ prompt, completion }: { prompt: string; completion: string }): EncodedExample => {
    const head = world.tokenizer.encode(prompt)
    const tail = world.tokenizer.encode(completion)
    const tokens = Int32Array.from([...head, ...tail, world.tokenizer.endOfText])
    return { tokens, promptLength: Math.max(1, head.length) }
  }
  const scoreOf = (completion: string, prompt = ''): number => {
    const value = known.get(keyOf(prompt, completion))
    if (value === undefined) throw new RangeError(`not prepared: ${completion}`)
    return value
  }
  return {
    prepare: async (texts) => {
      const fresh = texts.filter(({ prompt, completion }) => !known.has(keyOf(prompt, completion)))
      const scores = await score(model, fresh.map(exampleOf))
      fresh.forEach(({ prompt, completion }, i) => void known.set(keyOf(prompt, completion), scores[i]))
    },
    score: scoreOf,
    compare: (a, b, prompt) => (1 + Math.sign(scoreOf(a, prompt) - scoreOf(b, prompt))) / 2,
  }
}
