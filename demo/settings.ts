/**
 * Every number of the demo. Counts are fixed, never boxed by time: the same seed gives the same numbers on the same ISA, or on the
 * same GPU.
 */

/** A policy's folder: weights, tokenizer, and the card that says where they come from. */
export const POLICY_FOLDER = 'demo/policy'
export const SMALL_POLICY_FOLDER = 'demo/policy_small'

export const FIRST_YEAR = 1961

/** `npm run pretrain`. */
export const PRETRAIN = {
  vocabularySize: 2048,
  width: 128,
  layers: 4,
  heads: 4,
  keyValueHeads: 4,
  window: 128,
  epochs: 8,
  batchWindows: 64,
  lr: 3e-3,
  warmupRatio: 0.02,
  weightDecay: 0.1,
  beta2: 0.95,
  seed: 1,
} as const

/** `npm run pretrain -- --small`: a seventh of the parameters, in under five minutes. Heads share a key head, which halves attention. */
export const PRETRAIN_SMALL = {
  ...PRETRAIN,
  vocabularySize: 1024,
  width: 64,
  layers: 2,
  heads: 2,
  keyValueHeads: 1,
  epochs: 4,
} as const

/** How much a run does. */
export interface Size {
  POLICY_FOLDER: string
  /** What made that policy. */
  PRETRAIN: Readonly<Record<keyof typeof PRETRAIN, number>>
  /** Words of the lexicon that label: a half of them, the other half judging, or all, with nobody to judge. */
  WORDS: 'half' | 'all'
  /** Perplexity on real text that a checkpoint may have, as a multiple of the start's. */
  FLUENT: number
  PROMPT_TOKENS: number
  COMPLETION_TOKENS: number
  /** Of each address that perplexity is measured on, from its start; absent: all. */
  CHARACTERS?: number
  /** Samples that are labelled: all pairs of `perPrompt` completions. */
  PREFERENCES: { prompts: number; perPrompt: number; heldOutPrompts: number }
  REWARD: { epochs: number; batchPrompts: number; lr: number; weightDecay: number; centerCoefficient: number }
  PPO: {
    iterations: number
    rollouts: number
    epochs: number
    minibatches: number
    lr: number
    klCoefficient: number
    klTarget: number
    klFloor: number
    klHorizon: number
    /** Tokens of each real text that PPO sees beside a rollout, and its weight. */
    ptxTokens: number
    ptxCoefficient: number
    valueCoefficient: number
  }
  DPO: { pairs: number; epochs: number; batchPairs: number; lr: number; beta: number; sftCoefficient: number }
  /** `looks` at the validation prompts during PPO; DPO is looked at as often. */
  VALIDATION: { prompts: number; perPrompt: number; looks: number }
  EVALUATION: { prompts: number; oldPrompts: number; perPrompt: number; lastOldYear: number; target: number }
}

/** About four minutes on two cores. */
export const FULL: Size = {
  POLICY_FOLDER,
  PRETRAIN,
  WORDS: 'half',
  FLUENT: 1.15,
  PROMPT_TOKENS: 16,
  COMPLETION_TOKENS: 48,
  PREFERENCES: { prompts: 768, perPrompt: 4, heldOutPrompts: 128 },
  REWARD: { epochs: 2, batchPrompts: 16, lr: 1e-3, weightDecay: 0.05, centerCoefficient: 0.01 },
  PPO: {
    iterations: 20,
    rollouts: 192,
    epochs: 2,
    minibatches: 4,
    lr: 3e-4,
    klCoefficient: 0.1,
    klTarget: 6,
    klFloor: 0.02,
    klHorizon: 2000,
    ptxTokens: 64,
    ptxCoefficient: 0.25,
    valueCoefficient: 0.1,
  },
  DPO: { pairs: 1536, epochs: 2, batchPairs: 64, lr: 3e-4, beta: 0.1, sftCoefficient: 0.2 },
  VALIDATION: { prompts: 96, perPrompt: 2, looks: 4 },
  EVALUATION: { prompts: 256, oldPrompts: 64, perPrompt: 4, lastOldYear: 1899, target: 0.6 },
}

/**
 * `--small`: seconds on the cpu device, minutes on a GPU in software. Continuations are short, so that a reward says more of each
 * token; with half of the words four of five pairs of such texts would tie. The small policy pays for it with its language.
 */
export const SMALL: Size = {
  POLICY_FOLDER: SMALL_POLICY_FOLDER,
  PRETRAIN: PRETRAIN_SMALL,
  WORDS: 'all',
  FLUENT: 1.5,
  PROMPT_TOKENS: 6,
  COMPLETION_TOKENS: 10,
  CHARACTERS: 1200,
  PREFERENCES: { prompts: 384, perPrompt: 4, heldOutPrompts: 64 },
  REWARD: { ...FULL.REWARD, batchPrompts: 8, lr: 4e-3 },
  PPO: {
    ...FULL.PPO,
    iterations: 12,
    rollouts: 96,
    minibatches: 2,
    lr: 1e-3,
    klCoefficient: 0.05,
    ptxTokens: 8,
    ptxCoefficient: 0.5,
  },
  DPO: { ...FULL.DPO, pairs: 384, epochs: 1, batchPairs: 32, lr: 1.2e-3, sftCoefficient: 0.4 },
  VALIDATION: { prompts: 64, perPrompt: 1, looks: 2 },
  EVALUATION: { ...FULL.EVALUATION, prompts: 160, oldPrompts: 8, perPrompt: 2, target: 0.5 },
}

/** `--tiny`: does every step run? It learns nothing, and takes seconds even where each thread of a GPU is a fiber of a CPU. */
export const TINY: Size = {
  ...SMALL,
  CHARACTERS: 60,
  PREFERENCES: { prompts: 12, perPrompt: 3, heldOutPrompts: 12 },
  REWARD: { ...SMALL.REWARD, epochs: 1, batchPrompts: 6 },
  PPO: { ...SMALL.PPO, iterations: 2, rollouts: 4, epochs: 1, minibatches: 1, ptxTokens: 4 },
  DPO: { ...SMALL.DPO, pairs: 8, epochs: 1, batchPairs: 4 },
  VALIDATION: { prompts: 2, perPrompt: 1, looks: 1 },
  EVALUATION: { ...SMALL.EVALUATION, prompts: 4, oldPrompts: 2, perPrompt: 1 },
}
