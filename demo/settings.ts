/**
 * Every number of the demo. Counts are fixed, never boxed by time: the same seed gives the same numbers on the same ISA, or on the
 * same GPU.
 */

/** The policy's folder: weights, tokenizer, and the card that says where they come from. */
export const POLICY_FOLDER = 'demo/policy'

export const PROMPT_TOKENS = 16
export const FIRST_YEAR = 1961

/** `npm run pretrain`. */
export const PRETRAIN = {
  vocabularySize: 2048,
  window: 128,
  epochs: 8,
  batchWindows: 64,
  lr: 3e-3,
  warmupRatio: 0.02,
  weightDecay: 0.1,
  beta2: 0.95,
  seed: 1,
} as const

/** How much a run does. */
export interface Size {
  COMPLETION_TOKENS: number
  /** Of each address that is read as real text; absent: all. */
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
    ptxCoefficient: number
    valueCoefficient: number
  }
  DPO: { pairs: number; epochs: number; batchPairs: number; lr: number; beta: number; sftCoefficient: number }
  /** `looks` at the validation prompts during PPO; DPO is looked at as often. */
  VALIDATION: { prompts: number; perPrompt: number; looks: number }
  EVALUATION: { prompts: number; oldPrompts: number; perPrompt: number; lastOldYear: number; target: number }
}

/** About three minutes on two cores. */
export const FULL: Size = {
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
    ptxCoefficient: 0.25,
    valueCoefficient: 0.1,
  },
  DPO: { pairs: 1536, epochs: 2, batchPairs: 64, lr: 3e-4, beta: 0.1, sftCoefficient: 0.2 },
  VALIDATION: { prompts: 96, perPrompt: 2, looks: 4 },
  EVALUATION: { prompts: 256, oldPrompts: 64, perPrompt: 4, lastOldYear: 1899, target: 0.6 },
}

/** For a GPU that is computed in software: a few minutes, in which everything runs and little is learned. */
export const SMALL: Size = {
  COMPLETION_TOKENS: 8,
  CHARACTERS: 160,
  PREFERENCES: { prompts: 12, perPrompt: 4, heldOutPrompts: 4 },
  REWARD: { ...FULL.REWARD, epochs: 1, batchPrompts: 4 },
  PPO: { ...FULL.PPO, iterations: 2, rollouts: 8, epochs: 1, minibatches: 1 },
  DPO: { ...FULL.DPO, pairs: 8, epochs: 1, batchPairs: 4 },
  VALIDATION: { prompts: 4, perPrompt: 1, looks: 1 },
  EVALUATION: { ...FULL.EVALUATION, prompts: 4, oldPrompts: 2, perPrompt: 2 },
}
