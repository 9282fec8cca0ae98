/** The settings of other systems, so that a run of theirs can be reproduced or compared. */
import { refuse } from './refuse.ts'
import type { OpTable } from './spec/index.ts'
import type { OptionsOf } from './types.ts'

/** Options per op; spread them into the calls. */
export interface Preset {
  tokenRewards: Partial<OptionsOf<OpTable['tokenRewards']>>
  gae: OptionsOf<OpTable['gae']>
  whiten: OptionsOf<OpTable['whiten']>
  ppoPolicyLoss: OptionsOf<OpTable['ppoPolicyLoss']>
  ppoValueLoss: OptionsOf<OpTable['ppoValueLoss']>
  klPenalty: OptionsOf<OpTable['klPenalty']>
}

export type PresetName = 'trl' | 'verl' | 'openrlhf' | 'nemo-rl' | 'openai'

const presets: Readonly<Record<PresetName, Preset>> = {
  // trl/experimental/ppo of TRL 1.10: the score falls on the first slot after the response.
  trl: {
    tokenRewards: { klCoefficient: 0.05, klEstimator: 'k1', scoreAt: 'after-last' },
    gae: { gamma: 1, lambda: 0.95, maskMode: 'zero' },
    whiten: { unbiased: true, epsilon: 1e-8 },
    ppoPolicyLoss: { clipLow: 0.2, clipHigh: 0.2, aggregate: 'token-mean' },
    ppoValueLoss: { clip: 0.2, scale: 0.5, aggregate: 'token-mean' },
    klPenalty: { estimator: 'k1', gradient: 'value', aggregate: 'token-mean' },
  },
  // verl: gaps cost no decay, dual clip on, low-variance KL clamped twice.
  verl: {
    tokenRewards: { klCoefficient: 0.001, klEstimator: 'k1', scoreAt: 'last' },
    gae: { gamma: 1, lambda: 1, maskMode: 'carry' },
    whiten: { unbiased: true, epsilon: 1e-8 },
    ppoPolicyLoss: { clipLow: 0.2, clipHigh: 0.2, dualClip: 3, aggregate: 'token-mean' },
    ppoValueLoss: { clip: 0.5, scale: 0.5, aggregate: 'token-mean' },
    klPenalty: { estimator: 'k3', gradient: 'value', clampInput: 20, clampOutput: 10, aggregate: 'token-mean' },
  },
  // OpenRLHF: scores clipped at 10, moments of the population.
  openrlhf: {
    tokenRewards: { klCoefficient: 0.01, klEstimator: 'k1', scoreAt: 'last', rewardClip: 10 },
    gae: { gamma: 1, lambda: 1, maskMode: 'zero' },
    whiten: { unbiased: false, epsilon: 1e-8 },
    ppoPolicyLoss: { clipLow: 0.2, clipHigh: 0.2, aggregate: 'token-mean' },
    ppoValueLoss: { clip: 0.5, scale: 0.5, aggregate: 'token-mean' },
    klPenalty: { estimator: 'k3', gradient: 'value', clampOutput: 10, aggregate: 'token-mean' },
  },
  // NeMo-RL: no value clip; the KL gradient is the unbiased one.
  'nemo-rl': {
    tokenRewards: { klCoefficient: 0, klEstimator: 'k1', scoreAt: 'last' },
    gae: { gamma: 1, lambda: 0.95, maskMode: 'carry' },
    whiten: { unbiased: true, epsilon: 1e-8 },
    ppoPolicyLoss: { clipLow: 0.2, clipHigh: 0.2, aggregate: 'token-mean' },
    ppoValueLoss: { scale: 0.5, aggregate: 'token-mean' },
    klPenalty: { estimator: 'k3', gradient: 'unbiased', clampInput: 20, clampOutput: 10, aggregate: 'token-mean' },
  },
  // openai/lm-human-preferences: moments of the population.
  openai: {
    tokenRewards: { klCoefficient: 0.15, klEstimator: 'k1', scoreAt: 'last' },
    gae: { gamma: 1, lambda: 0.95, maskMode: 'zero' },
    whiten: { unbiased: false, epsilon: 1e-8 },
    ppoPolicyLoss: { clipLow: 0.2, clipHigh: 0.2, aggregate: 'token-mean' },
    ppoValueLoss: { clip: 0.2, scale: 0.5, aggregate: 'token-mean' },
    klPenalty: { estimator: 'k1', gradient: 'value', aggregate: 'token-mean' },
  },
}

/**
 * The loss conventions of another system, per op. Where these systems can be configured, its defaults as they were read in 2026;
 * what is no option of an op (such as the weight of the value loss) is not here.
 *
 * @throws PrefgradError `ERR_OPTION` for an unknown name
 */
export const preset = (name: PresetName): Preset => {
  const found = Object.hasOwn(presets, name) ? presets[name] : undefined
  return (
    found ??
    refuse('ERR_OPTION', `there is no preset '${name}'.`, {
      arg: 'name',
      value: name,
      fix: `Known: ${Object.keys(presets).join(', ')}.`,
    })
  )
}
