/** The optimizer's ops: over one flat tensor that holds every parameter. */
import { blocks, type CallShape, type OpSpec } from './schema.ts'

/** Elements of one partial sum of a norm, and of one item of an update. */
export const FLAT_CHUNK = 65536
const chunks = (call: CallShape): number => blocks(call.dims.P, FLAT_CHUNK)

export const optimizer = {
  gradNorm: {
    doc: 'Euclidean norm of a flat gradient, the same bits every time.',
    source: 'sqrt(sum g^2), partial sums in f64 in a fixed order',
    inputs: { grad: { shape: ['P'], doc: 'All gradients, flat.' } },
    outputs: { norm: { shape: [1], doc: 'The norm; NaN or infinite if any gradient is.' } },
    options: {},
    workspace: (call) => 8 * Math.max(1, chunks(call)),
    passes: [
      { name: 'partials', grid: chunks, work: () => FLAT_CHUNK },
      { name: 'finish', grid: () => 1, work: chunks },
    ],
    traffic: (call) => call.dims.P * 4,
  },
  adamw: {
    doc: 'AdamW in place over flat parameters: decoupled decay, clipping by a given norm, refusal of non-finite gradients.',
    source: 'Loshchilov & Hutter 2019 (arXiv:1711.05101) algorithm 2; bias correction -expm1(step ln beta) in f64',
    inputs: {
      param: { shape: ['P'], updated: true, doc: 'Parameters.' },
      grad: { shape: ['P'], doc: 'Gradients.' },
      m: { shape: ['P'], updated: true, doc: 'First moments, 0 at the start.' },
      v: { shape: ['P'], updated: true, doc: 'Second moments, 0 at the start.' },
      step: {
        shape: [1],
        dtypes: ['i32'],
        updated: true,
        doc: 'Steps taken so far; one more after the call unless refused.',
      },
      norm: {
        shape: [1],
        optional: true,
        doc: 'The gradient norm (gradNorm), for clipping and to refuse a non-finite step.',
      },
      segments: {
        shape: ['S', 2],
        dtypes: ['i32'],
        optional: true,
        fault: {
          code: 'ERR_OFFSETS',
          says: 'must be (offset, length) pairs within the parameters, in rising order',
          fix: 'Use the segment table that belongs to these parameters.',
        },
        doc: '(offset, length) of each tensor; elements outside every segment (padding) are left alone.',
      },
      decay: {
        shape: ['S'],
        optional: true,
        doc: 'Weight decay per segment, in place of weightDecay; needs segments.',
      },
    },
    outputs: {
      refused: {
        shape: [1],
        dtype: 'i32',
        doc: '1 if the step was refused because the gradient is not finite, else 0.',
      },
    },
    options: {
      lr: { type: 'number', required: true, min: 0, dynamic: true, doc: 'Learning rate.' },
      beta1: { type: 'number', default: 0.9, min: 0, below: 1, doc: 'Decay of the first moment.' },
      beta2: { type: 'number', default: 0.999, min: 0, below: 1, doc: 'Decay of the second moment.' },
      epsilon: { type: 'number', default: 1e-8, min: 0, doc: 'Added to the root of the second moment.' },
      weightDecay: {
        type: 'number',
        default: 0,
        min: 0,
        dynamic: true,
        doc: 'Decoupled decay: param -= lr * weightDecay * param.',
      },
      maxNorm: { type: 'number', above: 0, doc: 'Scales the gradient so that its norm is at most this; needs norm.' },
      gradScale: { type: 'number', default: 1, dynamic: true, doc: 'Multiplies gradients (and norm) first.' },
    },
    derived: {
      oneMinusBeta1: (call) => 1 - Number(call.options.beta1),
      oneMinusBeta2: (call) => 1 - Number(call.options.beta2),
      logBeta1: (call) => Math.log(Number(call.options.beta1)),
      logBeta2: (call) => Math.log(Number(call.options.beta2)),
    },
    check: (call) =>
      call.options.maxNorm !== undefined && !call.has('norm')
        ? {
            arg: 'norm',
            says: 'maxNorm needs the gradient norm',
            fix: 'Call gradNorm first and give its output.',
            code: 'ERR_ARGUMENT',
          }
        : call.has('decay') && !call.has('segments')
          ? {
              arg: 'segments',
              says: 'decay needs segments',
              fix: 'Give segments, or use weightDecay.',
              code: 'ERR_ARGUMENT',
            }
          : undefined,
    workspace: (call) => 8 * (8 + Math.max(1, chunks(call))),
    passes: [
      // Without a norm, finiteness is judged by a scan of the gradient before anything is written.
      { name: 'scan', when: (call) => !call.has('norm'), grid: chunks, work: () => FLAT_CHUNK },
      { name: 'prepare', grid: () => 1, work: chunks },
      { name: 'update', grid: chunks, work: () => 4 * FLAT_CHUNK },
      { name: 'finish', grid: () => 1, work: () => 1 },
    ],
    traffic: (call) => call.dims.P * 28,
  },
} as const satisfies Record<string, OpSpec>
