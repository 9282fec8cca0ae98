/** From scores to advantages: token rewards, generalized advantage estimation, whitening. */
import { offsets, sequenceItems, TOKEN_CHUNK, tokensPerSequence, valid } from './common.ts'
import { blocks, type OpSpec } from './schema.ts'

export const advantages = {
  tokenRewards: {
    doc: 'KL-shaped rewards: the score where it falls, minus klCoefficient times a per-token KL estimate everywhere.',
    source: 'Ziegler et al. 2019 (arXiv:1909.08593) eq. 2, per token; estimators after Schulman 2020',
    sequences: 'required',
    inputs: {
      score: { shape: ['B'], optional: true, doc: 'One score per sequence.' },
      tokenScore: { shape: ['*N'], optional: true, doc: 'Scores per token or step (fine-grained feedback).' },
      logprob: { shape: ['*N'], doc: 'Policy that sampled the tokens.' },
      refLogprob: { shape: ['*N'], doc: 'Reference model on the same tokens.' },
      valid: {
        ...valid,
        fault: {
          code: 'ERR_BAD_VALUE',
          says: 'leaves a sequence without a place for its score',
          fix: "Use scoreAt: 'last', or pad every sequence by one slot.",
        },
      },
      offsets,
      ended: {
        shape: ['B'],
        dtypes: ['u8'],
        optional: true,
        doc: 'Nonzero: the sequence ended by itself; the others pay missingEndPenalty.',
      },
    },
    outputs: {
      rewards: { shape: ['*N'], doc: 'Reward per token, exactly 0 where not valid (but for the score slot itself).' },
      kl: { shape: ['*N'], doc: 'The KL estimate per token, exactly 0 where not valid.' },
    },
    options: {
      klCoefficient: {
        type: 'number',
        required: true,
        min: 0,
        dynamic: true,
        doc: 'Weight of the KL estimate (beta).',
      },
      klEstimator: {
        type: 'enum',
        values: ['k1', 'k2', 'k3', 'abs'],
        default: 'k1',
        doc: 'With x = refLogprob - logprob: -x, x^2/2, e^x - x - 1, |x|.',
      },
      scoreAt: {
        type: 'enum',
        values: ['last', 'after-last', 'end'],
        default: 'last',
        doc: 'The last valid token; the slot after it; the last column.',
      },
      rewardClip: { type: 'number', above: 0, doc: 'Clips the score to [-rewardClip, rewardClip] before the KL term.' },
      missingEndPenalty: {
        type: 'number',
        default: 0,
        doc: 'Added to the score of sequences that did not end by themselves.',
      },
    },
    check: (call) =>
      call.options.missingEndPenalty !== 0 && !call.has('ended')
        ? {
            arg: 'ended',
            says: 'missingEndPenalty needs to know which sequences ended',
            fix: 'Give ended: u8 [B], nonzero where the sequence ended by itself.',
            code: 'ERR_ARGUMENT',
          }
        : undefined,
    passes: [{ name: 'forward', grid: sequenceItems, work: (call) => 4 * tokensPerSequence(call) }],
    traffic: (call) => call.dims.N * 16,
  },
  gae: {
    doc: 'Generalized advantage estimation over [B, T] or packed sequences, parallel in T.',
    source: 'Schulman et al. 2016 (arXiv:1506.02438) eq. 16',
    sequences: 'required',
    inputs: {
      rewards: { shape: ['*N'], doc: 'Reward r_t per step.' },
      values: { shape: ['*N'], doc: 'Value V_t per step.' },
      bootstrap: { shape: ['B'], optional: true, doc: 'Value after the last valid step; absent: 0.' },
      terminated: {
        shape: ['*N'],
        dtypes: ['u8'],
        optional: true,
        doc: 'Nonzero: the episode ends here, nothing follows.',
      },
      truncated: {
        shape: ['*N'],
        dtypes: ['u8'],
        optional: true,
        fault: {
          code: 'ERR_BAD_VALUE',
          says: 'cuts an episode at a step whose next value is not known',
          fix: 'Give nextValues, or bootstrap where the cut is the last valid step.',
        },
        doc: 'Nonzero: the episode was cut here; its next value is nextValues or bootstrap. Terminated wins.',
      },
      nextValues: { shape: ['*N'], optional: true, doc: 'Value of the state that follows each step.' },
      valid,
      offsets,
      lambdas: { shape: ['B'], optional: true, doc: 'A lambda per sequence, in place of the option.' },
    },
    outputs: {
      advantages: { shape: ['*N'], doc: 'A_t, exactly 0 where not valid.' },
      returns: { shape: ['*N'], doc: 'A_t (with valueLambda) + V_t, exactly 0 where not valid.' },
    },
    options: {
      gamma: { type: 'number', default: 1, min: 0, max: 1, doc: 'Discount.' },
      lambda: {
        type: 'number',
        default: 0.95,
        min: 0,
        max: 1,
        doc: 'Trace decay: 0 is one-step TD, 1 is Monte Carlo.',
      },
      valueLambda: { type: 'number', min: 0, max: 1, doc: 'Another lambda for the returns (VAPO); absent: the same.' },
      maskMode: {
        type: 'enum',
        values: ['carry', 'zero'],
        default: 'carry',
        doc: "'carry': next means the next valid step, gaps cost no decay. 'zero': masked steps read as 0 and decay.",
      },
    },
    passes: [{ name: 'forward', grid: sequenceItems, work: (call) => 4 * tokensPerSequence(call) }],
    traffic: (call) =>
      call.dims.N *
      (16 + (call.has('terminated') ? 1 : 0) + (call.has('truncated') ? 1 : 0) + (call.has('valid') ? 1 : 0)),
  },
  whiten: {
    doc: 'Shifts and scales the valid values to mean 0 and variance 1.',
    source: '(x - mean) / sqrt(variance + epsilon), moments over valid positions in f64',
    inputs: { x: { shape: ['*N'], doc: 'Values.' }, valid },
    outputs: {
      y: {
        shape: ['*N'],
        inPlaceOf: ['x'],
        doc: 'Whitened values; exactly 0 where not valid; fewer than two values give 0.',
      },
    },
    options: {
      shiftMean: { type: 'boolean', default: true, doc: 'Subtract the mean; false: only the scale changes.' },
      unbiased: { type: 'boolean', default: true, doc: 'Divide by n - 1 (Bessel) rather than n.' },
      epsilon: { type: 'number', default: 1e-8, min: 0, doc: 'Added to the variance.' },
    },
    workspace: (call) => 8 * (8 + 4 * Math.max(1, blocks(call.dims.N, TOKEN_CHUNK))),
    passes: [
      { name: 'moments', grid: (call) => blocks(call.dims.N, TOKEN_CHUNK), work: () => 2 * TOKEN_CHUNK },
      { name: 'combine', grid: () => 1, work: (call) => blocks(call.dims.N, TOKEN_CHUNK) },
      { name: 'forward', grid: (call) => blocks(call.dims.N, TOKEN_CHUNK), work: () => TOKEN_CHUNK },
    ],
    traffic: (call) => call.dims.N * 12,
  },
} as const satisfies Record<string, OpSpec>
