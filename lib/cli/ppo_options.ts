/** The options of `prefgrad ppo`. */
import { badLines, evalData, maxLength, model, optimizer, sampling, seed, truncate } from './options.ts'
import type { OptionGroups } from './schema.ts'

const { maxNewTokens, temperature } = sampling({ maxNewTokens: 64 })

export const ppo = {
  Data: {
    model,
    reward: {
      kind: 'path',
      value: 'DIR|FILE.js',
      required: true,
      doc: 'A reward model’s folder, or a JavaScript file with a reward function.',
    },
    data: {
      kind: 'paths',
      value: 'FILE',
      required: true,
      doc: 'Prompts, JSONL or gzip: { prompt } as a text or message list, or a preference file.',
    },
    reference: { kind: 'path', value: 'DIR', otherwise: 'a frozen copy of --model', doc: 'The model to stay near.' },
    evalData: { ...evalData, doc: 'Held-out prompts: their mean score is printed before and after.' },
    ptxData: {
      kind: 'paths',
      value: 'FILE',
      doc: 'Texts that must not be unlearnt (as for sft), for --ptx-coefficient.',
    },
    maxLength: { ...maxLength, doc: 'Longest prompt plus completion in tokens.' },
    truncate,
    badLines,
  },
  Rollouts: {
    iterations: { kind: 'integer', min: 1, default: 20, doc: 'Rounds of rolling out and training.' },
    rollouts: { kind: 'integer', min: 1, default: 128, doc: 'Completions per round.' },
    maxNewTokens,
    temperature: { ...temperature, min: undefined, above: 0, doc: 'Divides the logits before a token is drawn.' },
    seed,
  },
  Reward: {
    klCoefficient: {
      kind: 'number',
      min: 0,
      default: 0.05,
      doc: 'Weight of the KL penalty (at first, with a target).',
    },
    klTarget: {
      kind: 'number',
      above: 0,
      otherwise: 'none, a fixed weight',
      doc: 'KL from the reference, nats per sequence, that the weight is steered to.',
    },
    klFloor: { kind: 'number', min: 0, otherwise: 'a tenth of the first', doc: 'The weight never falls below this.' },
    klHorizon: {
      kind: 'integer',
      min: 1,
      default: 2000,
      doc: 'Sequences over which the weight changes by a factor of e^0.2 at most.',
    },
    stopKl: {
      kind: 'number',
      above: 0,
      default: 0.05,
      doc: 'A round ends early when its KL per token from the rollout policy exceeds this.',
    },
    stopAtKlTarget: {
      kind: 'number',
      above: 0,
      default: 1.5,
      doc: 'The run ends when the KL exceeds this many times --kl-target.',
    },
    rawScores: { kind: 'flag', doc: 'Scores are not shifted and scaled by their running mean and deviation.' },
    missingEndPenalty: {
      kind: 'number',
      default: 0,
      doc: 'Added to the score of a completion that did not end by itself; negative is a penalty.',
    },
    gamma: { kind: 'number', min: 0, max: 1, default: 1, doc: 'Discount per token.' },
    lambda: { kind: 'number', min: 0, max: 1, default: 0.95, doc: 'Decay of advantage estimates (GAE).' },
  },
  Training: {
    epochs: { kind: 'integer', min: 1, default: 2, doc: 'Passes over the completions of a round.' },
    minibatches: { kind: 'integer', min: 1, default: 4, doc: 'Optimizer steps per pass.' },
    ...optimizer({ lr: 1e-4 }),
    clipLow: { kind: 'number', above: 0, max: 1, default: 0.2, doc: 'The probability ratio is clipped at 1 − this …' },
    clipHigh: { kind: 'number', above: 0, default: 0.2, doc: '… and at 1 + this.' },
    valueClip: { kind: 'number', above: 0, default: 0.2, doc: 'How far a value may move from the old one.' },
    valueCoefficient: { kind: 'number', min: 0, default: 0.1, doc: 'Weight of the value loss.' },
    ptxCoefficient: { kind: 'number', min: 0, default: 0, doc: 'Weight of the loss on --ptx-data.' },
  },
} as const satisfies OptionGroups
