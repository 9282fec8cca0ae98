/** Reward models: losses on scores of whole sequences. */
import { gradScale, normalizer } from './common.ts'
import { blocks, type CallShape, type OpSpec, type PassSpec } from './schema.ts'

/** Pairs that one work item covers. */
export const PAIR_CHUNK = 1024
const chunks = (call: CallShape): number => blocks(call.dims.B, PAIR_CHUNK)

/** The passes of a loss on pairs: independent terms, then partial sums added up in order. */
export const pairLossPasses = [
  { name: 'terms', grid: chunks, work: (call) => 24 * Math.min(PAIR_CHUNK, call.dims.B) },
  { name: 'finish', grid: () => 1, work: chunks },
] as const satisfies readonly PassSpec[]

/** Four f64 partial sums per chunk of pairs, each chunk in a cache line of its own. */
export const pairLossWorkspace = (call: CallShape): number => 8 * 8 * Math.max(1, chunks(call))

export const reward = {
  bradleyTerryLoss: {
    doc: 'Bradley-Terry reward loss with margins, soft preferences, label smoothing and centering.',
    source:
      'Bradley & Terry 1952; Ouyang et al. 2022 (arXiv:2203.02155) eq. 1; margin: Touvron et al. 2023 (arXiv:2307.09288) eq. 2',
    inputs: {
      chosen: { shape: ['B'], doc: 'Score of the preferred completion.' },
      rejected: { shape: ['B'], doc: 'Score of the other completion.' },
      margin: { shape: ['B'], optional: true, doc: 'Subtracted from the score difference; absent: 0.' },
      preference: {
        shape: ['B'],
        optional: true,
        fault: {
          code: 'ERR_BAD_VALUE',
          says: 'lies outside [0, 1]',
          fix: 'Give the probability that chosen is better.',
        },
        doc: 'Probability that chosen is better, in [0, 1]; absent: 1.',
      },
      weight: { shape: ['B'], optional: true, doc: 'Scales the terms; never enters the denominator.' },
    },
    outputs: {
      loss: { shape: [1], doc: 'The loss, minimised.' },
      gradChosen: { shape: ['B'], gradient: true, doc: 'Gradient with respect to chosen.' },
      gradRejected: { shape: ['B'], gradient: true, doc: 'Gradient with respect to rejected.' },
      stats: {
        shape: [7],
        stats: {
          slots: {
            lossSum: 'sum',
            denominator: 'sum',
            count: 'sum',
            accuracySum: 'sum',
            marginSum: 'sum',
            chosenSum: 'sum',
            rejectedSum: 'sum',
          },
          read: (s) => {
            const pairs = Math.max(1, s.count)
            return {
              loss: s.lossSum / Math.max(1e-30, s.denominator),
              count: s.count,
              accuracy: s.accuracySum / pairs,
              margin: s.marginSum / pairs,
              chosenMean: s.chosenSum / pairs,
              rejectedMean: s.rejectedSum / pairs,
            }
          },
        },
        doc: 'Sums; read with readStats. A tie, or a preference of one half, counts half in accuracy.',
      },
    },
    options: {
      labelSmoothing: {
        type: 'number',
        default: 0,
        min: 0,
        below: 0.5,
        doc: 'Mixes the preference with its opposite.',
      },
      centerCoefficient: {
        type: 'number',
        default: 0,
        min: 0,
        doc: 'Weight of (chosen + rejected)^2, which keeps scores near 0.',
      },
      normalizer,
      gradScale,
    },
    workspace: pairLossWorkspace,
    passes: pairLossPasses,
    traffic: (call) => call.dims.B * 16,
  },
} as const satisfies Record<string, OpSpec>
