/** Every number of the demo. Counts are fixed, never boxed by time: the same seed and ISA give the same numbers. */

/** The policy's folder: weights, tokenizer, and the card that says where they come from. */
export const POLICY_FOLDER = 'demo/policy'

export const PROMPT_TOKENS = 16
export const COMPLETION_TOKENS = 48
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

/** Samples that are labelled: all pairs of `perPrompt` completions. */
export const PREFERENCES = { prompts: 768, perPrompt: 4, heldOutPrompts: 128 } as const

export const REWARD = { epochs: 2, batchPrompts: 16, lr: 1e-3, weightDecay: 0.05, centerCoefficient: 0.01 } as const

export const PPO = {
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
} as const

export const DPO = { pairs: 1536, epochs: 2, batchPairs: 64, lr: 3e-4, beta: 0.1, sftCoefficient: 0.2 } as const

/** Rounds of PPO between two looks at the validation prompts; DPO is looked at as often. */
export const VALIDATION = { prompts: 96, perPrompt: 2, looks: 4 } as const

export const EVALUATION = { prompts: 256, oldPrompts: 64, perPrompt: 4, lastOldYear: 1899, target: 0.6 } as const
