/** Preference losses on sequence log-probabilities: DPO and its relatives. */
import { gradScale, normalizer } from './common.ts'
import { pairLossPasses, pairLossWorkspace } from './reward.ts'
import type { CallShape, OpSpec, Problem } from './schema.ts'

const SMOOTHED = ['sigmoid', 'robust', 'exo-pair']

const together = (call: CallShape, first: string, second: string): Problem | undefined =>
  call.has(first) === call.has(second)
    ? undefined
    : {
        arg: call.has(first) ? second : first,
        says: `${first} and ${second} belong together`,
        fix: 'Give both or neither.',
        code: 'ERR_ARGUMENT',
      }

const checkDpo = (call: CallShape): Problem | undefined => {
  const { kind, labelSmoothing, lengthNormalize } = call.options
  const smoothing = labelSmoothing as number | undefined
  if (smoothing !== undefined && smoothing > 0 && !SMOOTHED.includes(kind as string)) {
    return {
      arg: 'labelSmoothing',
      says: `kind '${kind}' has no label smoothing`,
      fix: `Leave it out, or use one of ${SMOOTHED.join(', ')}.`,
    }
  }
  if (kind === 'exo-pair' && smoothing === 0) {
    return { arg: 'labelSmoothing', says: "kind 'exo-pair' needs a value above 0", fix: 'Use the default 1e-3.' }
  }
  const normalized = lengthNormalize ?? (kind === 'ipo' || kind === 'sigmoid-norm')
  if (normalized && !call.has('chosenLength')) {
    return {
      arg: 'chosenLength',
      says: `kind '${kind}' averages per token and needs the lengths`,
      fix: 'Give chosenLength and rejectedLength, or lengthNormalize: false.',
      code: 'ERR_ARGUMENT',
    }
  }
  return together(call, 'refChosen', 'refRejected') ?? together(call, 'chosenLength', 'rejectedLength')
}

const lengthFault = {
  code: 'ERR_BAD_VALUE',
  says: 'is not above 0',
  fix: 'Give the number of response tokens of each sequence.',
} as const

export const preference = {
  dpoLoss: {
    doc: 'Direct preference optimization on sequence log-probabilities, twelve kinds, with rewards and gradients.',
    source:
      'Rafailov et al. 2023 (arXiv:2305.18290) eq. 7; kinds: cDPO, robust (2403.00409), hinge/SLiC (2305.10425), IPO (2310.12036) eq. 17, EXO (2402.00856), NCA (2402.05369), BCO (2404.04656), SPPO (2405.00675), APO (2408.06266), DiscoPOP (2406.08414)',
    inputs: {
      policyChosen: { shape: ['B'], doc: 'Sequence log-probability of the chosen completion.' },
      policyRejected: { shape: ['B'], doc: 'Sequence log-probability of the rejected completion.' },
      refChosen: {
        shape: ['B'],
        optional: true,
        doc: 'Reference model on chosen; both references absent: reference-free.',
      },
      refRejected: { shape: ['B'], optional: true, doc: 'Reference model on rejected.' },
      chosenLength: {
        shape: ['B'],
        optional: true,
        fault: lengthFault,
        doc: 'Response tokens of chosen (for length-normalised kinds).',
      },
      rejectedLength: { shape: ['B'], optional: true, fault: lengthFault, doc: 'Response tokens of rejected.' },
      weight: { shape: ['B'], optional: true, doc: 'Scales the terms; never enters the denominator.' },
    },
    outputs: {
      loss: { shape: [1], doc: 'The loss, minimised.' },
      losses: { shape: ['B'], doc: 'Loss per pair, unweighted.' },
      gradPolicyChosen: { shape: ['B'], gradient: true, doc: 'Gradient with respect to policyChosen.' },
      gradPolicyRejected: { shape: ['B'], gradient: true, doc: 'Gradient with respect to policyRejected.' },
      chosenReward: { shape: ['B'], doc: 'beta * (policyChosen - refChosen).' },
      rejectedReward: { shape: ['B'], doc: 'beta * (policyRejected - refRejected).' },
      stats: {
        shape: [7],
        stats: {
          slots: {
            lossSum: 'sum',
            denominator: 'sum',
            count: 'sum',
            accuracySum: 'sum',
            marginSum: 'sum',
            chosenRewardSum: 'sum',
            rejectedRewardSum: 'sum',
          },
          read: (s) => {
            const pairs = Math.max(1, s.count)
            return {
              loss: s.lossSum / Math.max(1e-30, s.denominator),
              count: s.count,
              accuracy: s.accuracySum / pairs,
              margin: s.marginSum / pairs,
              chosenReward: s.chosenRewardSum / pairs,
              rejectedReward: s.rejectedRewardSum / pairs,
            }
          },
        },
        doc: 'Sums; read with readStats. accuracy counts chosenReward > rejectedReward, a tie half.',
      },
    },
    options: {
      kind: {
        type: 'enum',
        values: [
          'sigmoid',
          'robust',
          'hinge',
          'ipo',
          'exo-pair',
          'nca-pair',
          'bco-pair',
          'sppo-hard',
          'apo-zero',
          'apo-down',
          'discopop',
          'sigmoid-norm',
        ],
        default: 'sigmoid',
        doc: 'The loss of one pair; formulas in the kernel header.',
      },
      beta: { type: 'number', default: 0.1, above: 0, doc: 'Inverse temperature of the implicit reward.' },
      labelSmoothing: {
        type: 'number',
        min: 0,
        below: 0.5,
        doc: "Probability that a label is wrong: 'sigmoid' (cDPO), 'robust', 'exo-pair'. Absent: 0, for 'exo-pair' 1e-3.",
      },
      lengthNormalize: {
        type: 'boolean',
        doc: "Log-ratios per token. Absent: true for 'ipo' and 'sigmoid-norm' only.",
      },
      rewardShift: {
        type: 'number',
        default: 0,
        doc: "Subtracted from both rewards by 'bco-pair' (its running mean).",
      },
      temperature: { type: 'number', default: 0.05, above: 0, doc: "Temperature of the mixing weight of 'discopop'." },
      normalizer,
      gradScale,
    },
    check: checkDpo,
    derived: {
      smoothing: (call) =>
        (call.options.labelSmoothing as number | undefined) ?? (call.options.kind === 'exo-pair' ? 1e-3 : 0),
      normalize: (call) =>
        Number(call.options.lengthNormalize ?? (call.options.kind === 'ipo' || call.options.kind === 'sigmoid-norm')),
    },
    workspace: pairLossWorkspace,
    passes: pairLossPasses,
    traffic: (call) => call.dims.B * (28 + (call.has('refChosen') ? 8 : 0)),
  },
} as const satisfies Record<string, OpSpec>
