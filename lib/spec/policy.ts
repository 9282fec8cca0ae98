/** Policy, value and KL losses on tokens: value and gradient in one call. */
import {
  aggregate,
  countEmpty,
  gradScale,
  needsSequences,
  normalizer,
  offsets,
  tokenLossPasses,
  tokenLossWorkspace,
  valid,
} from './common.ts'
import type { OpSpec } from './schema.ts'

const weight = {
  shape: ['*N'],
  optional: true,
  doc: 'Scales the terms; never enters a denominator.',
} as const

const reduction = { aggregate, countEmpty, normalizer, gradScale } as const

export const policy = {
  ppoPolicyLoss: {
    doc: 'Clipped PPO surrogate: loss, gradient and clip statistics; token or sequence ratio (GSPO), asymmetric and dual clip.',
    source:
      'Schulman et al. 2017 (arXiv:1707.06347) eq. 7; dual clip: Ye et al. 2020 (arXiv:1912.09729) eq. 5; sequence ratio: GSPO (arXiv:2507.18071) eq. 5-7',
    sequences: 'flat-too',
    inputs: {
      logprob: { shape: ['*N'], doc: 'Current policy.' },
      oldLogprob: { shape: ['*N'], doc: 'Policy that sampled the tokens.' },
      advantage: { shape: ['*N'], doc: 'Advantage per token.' },
      valid,
      offsets,
      weight,
    },
    outputs: {
      loss: { shape: [1], doc: 'The loss, minimised.' },
      gradLogprob: {
        shape: ['*N'],
        gradient: true,
        inPlaceOf: ['logprob'],
        doc: 'Gradient of the loss; exactly 0 where not valid.',
      },
      stats: {
        shape: [13],
        stats: {
          slots: {
            lossSum: 'sum',
            denominator: 'sum',
            count: 'sum',
            ratioCount: 'sum',
            clippedLow: 'sum',
            clippedHigh: 'sum',
            dualClipped: 'sum',
            approxKlSum: 'sum',
            ratioSum: 'sum',
            ratioMin: 'min',
            ratioMax: 'max',
            logRatioSum: 'sum',
            logRatioSquareSum: 'sum',
          },
          read: (s) => {
            const tokens = Math.max(1, s.count)
            const ratios = Math.max(1, s.ratioCount)
            return {
              loss: s.lossSum / Math.max(1e-30, s.denominator),
              count: s.count,
              clipFraction: (s.clippedLow + s.clippedHigh) / tokens,
              clipFractionLow: s.clippedLow / tokens,
              clipFractionHigh: s.clippedHigh / tokens,
              dualClipFraction: s.dualClipped / tokens,
              approxKl: s.approxKlSum / tokens,
              ratioMean: s.ratioSum / ratios,
              ratioMin: s.count > 0 ? s.ratioMin : 1,
              ratioMax: s.count > 0 ? s.ratioMax : 1,
              logRatioMean: s.logRatioSum / tokens,
              logRatioSquareMean: s.logRatioSquareSum / tokens,
            }
          },
        },
        doc: 'Sums and extremes; read with readStats. approxKl is the mean of (r - 1) - log r per token.',
      },
    },
    options: {
      clipLow: { type: 'number', default: 0.2, above: 0, max: 1, doc: 'The ratio is clipped below at 1 - clipLow.' },
      clipHigh: { type: 'number', default: 0.2, above: 0, doc: 'The ratio is clipped above at 1 + clipHigh.' },
      dualClip: {
        type: 'number',
        above: 1,
        doc: 'Where the advantage is negative the term is at most -dualClip * advantage.',
      },
      ratioLevel: {
        type: 'enum',
        values: ['token', 'sequence'],
        default: 'token',
        doc: 'One ratio per token, or the geometric mean of the sequence (GSPO).',
      },
      sequenceGradient: {
        type: 'enum',
        values: ['direct', 'token'],
        default: 'direct',
        doc: 'With sequence ratios: the true gradient, or the token-wise one of GSPO-token.',
      },
      ...reduction,
    },
    check: (call) =>
      call.flat && call.options.ratioLevel === 'sequence'
        ? {
            arg: 'ratioLevel',
            says: "'sequence' needs to know where sequences end, and a flat [N] does not say",
            fix: 'Give [B, T] tensors, or packed [N] with offsets.',
            code: 'ERR_ARGUMENT',
          }
        : needsSequences(call),
    workspace: tokenLossWorkspace,
    passes: tokenLossPasses,
    traffic: (call) => call.dims.N * (16 + (call.has('valid') ? 1 : 0)),
  },
  klPenalty: {
    doc: 'KL penalty toward a reference from sampled tokens, with the estimator and the gradient named apart.',
    source: 'Schulman 2020 (k1, k2, k3); unbiased reverse-KL gradient: score-function form kl + d kl/d logprob',
    sequences: 'flat-too',
    inputs: {
      logprob: { shape: ['*N'], doc: 'Current policy.' },
      refLogprob: { shape: ['*N'], doc: 'Reference model on the same tokens.' },
      valid,
      offsets,
      weight,
    },
    outputs: {
      loss: { shape: [1], doc: 'The aggregated estimate.' },
      gradLogprob: {
        shape: ['*N'],
        gradient: true,
        inPlaceOf: ['logprob'],
        doc: 'Gradient; exactly 0 where not valid or clamped.',
      },
      kl: { shape: ['*N'], doc: 'The estimate per token.' },
      stats: {
        shape: [6],
        stats: {
          slots: { lossSum: 'sum', denominator: 'sum', count: 'sum', klSum: 'sum', klMin: 'min', klMax: 'max' },
          read: (s) => ({
            loss: s.lossSum / Math.max(1e-30, s.denominator),
            count: s.count,
            kl: s.klSum / Math.max(1, s.count),
            klMin: s.count > 0 ? s.klMin : 0,
            klMax: s.count > 0 ? s.klMax : 0,
          }),
        },
        doc: 'Sums and extremes; read with readStats.',
      },
    },
    options: {
      estimator: {
        type: 'enum',
        values: ['k1', 'k2', 'k3', 'abs'],
        default: 'k3',
        doc: 'With x = refLogprob - logprob: -x, x^2/2, e^x - x - 1, |x|.',
      },
      gradient: {
        type: 'enum',
        values: ['unbiased', 'value'],
        default: 'unbiased',
        doc: "'unbiased': the score-function gradient, -x for k1, k2 and k3 (the true reverse KL), |x| - sign x for abs; 'value': derivative of the estimate.",
      },
      clampInput: {
        type: 'number',
        above: 0,
        doc: 'Clamps x to [-clampInput, clampInput]; no gradient where it bites.',
      },
      clampOutput: {
        type: 'number',
        above: 0,
        doc: 'Clamps the estimate to [-clampOutput, clampOutput]; no gradient where it bites.',
      },
      ...reduction,
    },
    check: needsSequences,
    workspace: tokenLossWorkspace,
    passes: tokenLossPasses,
    traffic: (call) => call.dims.N * (16 + (call.has('valid') ? 1 : 0)),
  },
  ppoValueLoss: {
    doc: 'Value loss scale * (V - R)^2, optionally clipped around the old value, with explained variance.',
    source:
      'Schulman et al. 2017 (arXiv:1707.06347) eq. 9; value clip as in the OpenAI baselines: max of clipped and unclipped',
    sequences: 'flat-too',
    inputs: {
      value: { shape: ['*N'], doc: 'Current values.' },
      oldValue: { shape: ['*N'], optional: true, doc: 'Values at sampling time; required with clip.' },
      returns: { shape: ['*N'], doc: 'Targets.' },
      valid,
      offsets,
      weight,
    },
    outputs: {
      loss: { shape: [1], doc: 'The loss, minimised.' },
      gradValue: { shape: ['*N'], gradient: true, inPlaceOf: ['value'], doc: 'Gradient; exactly 0 where not valid.' },
      stats: {
        shape: [10],
        stats: {
          slots: {
            lossSum: 'sum',
            denominator: 'sum',
            count: 'sum',
            clipped: 'sum',
            'error.n': 'welford',
            'error.mean': 'welford',
            'error.m2': 'welford',
            'returns.n': 'welford',
            'returns.mean': 'welford',
            'returns.m2': 'welford',
          },
          read: (s) => ({
            loss: s.lossSum / Math.max(1e-30, s.denominator),
            count: s.count,
            clipFraction: s.clipped / Math.max(1, s.count),
            explainedVariance: s['returns.m2'] > 0 ? 1 - s['error.m2'] / s['returns.m2'] : 0,
            returnsMean: s['returns.mean'],
          }),
        },
        doc: 'Sums and moments; read with readStats. Explained variance uses value and is 0 when the returns do not vary.',
      },
    },
    options: {
      clip: { type: 'number', above: 0, doc: 'Clips value to oldValue +- clip and takes the larger loss.' },
      scale: { type: 'number', default: 0.5, above: 0, doc: 'Factor of the squared error.' },
      ...reduction,
    },
    check: (call) =>
      call.options.clip !== undefined && !call.has('oldValue')
        ? {
            arg: 'oldValue',
            says: 'clip needs the values at sampling time',
            fix: 'Give oldValue, or leave clip out.',
            code: 'ERR_ARGUMENT',
          }
        : needsSequences(call),
    workspace: tokenLossWorkspace,
    passes: tokenLossPasses,
    traffic: (call) => call.dims.N * (12 + (call.has('oldValue') ? 4 : 0) + (call.has('valid') ? 1 : 0)),
  },
} as const satisfies Record<string, OpSpec>
