/** Log-probabilities: from logits to what every loss below is made of. */
import { idFault, offsets, sequenceItems, tokensPerSequence, valid } from './common.ts'
import type { CallShape, OpSpec, OptionSpec } from './schema.ts'

const LOGIT_DTYPES = ['f32', 'bf16', 'f16'] as const

const logits = {
  shape: ['*N', 'V'],
  dtypes: LOGIT_DTYPES,
  doc: 'Row i scores the vocabulary for position i. -inf is legal; one +inf is a certain token.',
} as const

const tokens = {
  shape: ['*N'],
  dtypes: ['i32'],
  fault: idFault,
  doc: 'The token that row i predicts (no shift happens here), or ignoreIndex.',
} as const

const logitOptions = {
  temperature: { type: 'number', default: 1, above: 0, doc: 'Divides the logits, after scale and softcap.' },
  logitScale: { type: 'number', default: 1, doc: 'Multiplies the logits first.' },
  softcap: { type: 'number', default: 0, min: 0, doc: 'c * tanh(x / c), after the scale; 0 is off.' },
  ignoreIndex: { type: 'integer', default: -100, doc: 'Rows with this token give exactly 0 and no gradient.' },
} as const satisfies Record<string, OptionSpec>

const inverseTemperature = (call: CallShape): number => 1 / Number(call.options.temperature)

export const logprobs = {
  tokenLogprobs: {
    doc: 'Log-probability of one token per row of logits, in one read of the logits.',
    source: 'log softmax(x)[token]; kept as rowMax and logSum so that p -> 1 keeps its digits',
    inputs: { logits, tokens },
    outputs: {
      logprob: { shape: ['*N'], doc: 'log p(token), at most 0; exactly 0 for ignored rows.' },
      rowMax: { shape: ['*N'], doc: 'Largest transformed logit of the row.' },
      logSum: {
        shape: ['*N'],
        doc: 'log1p(sum over all but the largest of exp(x - rowMax)); log-sum-exp = rowMax + logSum.',
      },
      entropy: { shape: ['*N'], when: 'entropy', doc: 'Entropy of the row in nats, 0 log 0 = 0.' },
    },
    options: {
      ...logitOptions,
      entropy: { type: 'boolean', default: false, doc: 'Also return the entropy of each row.' },
    },
    derived: { inverseTemperature },
    passes: [{ name: 'forward', grid: (call) => call.dims.N, work: (call) => 2 * call.dims.V }],
    traffic: (call) => call.dims.N * call.dims.V * call.elementBytes('logits') + call.dims.N * 16,
  },
  tokenLogprobsBackward: {
    doc: 'Gradient of token log-probabilities (and entropies) with respect to the logits: one read, one write, in place if wanted.',
    source: 'g (1[j = token] - p_j) - g_H p_j (log p_j + H), then the chain rule of softcap, scale and temperature',
    inputs: {
      logits,
      tokens,
      logprob: { shape: ['*N'], doc: 'From the forward call.' },
      rowMax: { shape: ['*N'], doc: 'From the forward call.' },
      logSum: { shape: ['*N'], doc: 'From the forward call.' },
      gradLogprob: { shape: ['*N'], doc: 'Upstream gradient per row; rows with 0 give zeros.' },
      entropy: { shape: ['*N'], optional: true, doc: 'From the forward call; required with gradEntropy.' },
      gradEntropy: { shape: ['*N'], optional: true, doc: 'Upstream gradient of the entropy per row.' },
    },
    outputs: {
      gradLogits: {
        shape: ['*N', 'V'],
        dtype: { as: 'logits' },
        inPlaceOf: ['logits'],
        gradient: true,
        doc: 'Gradient of the logits, in their element type.',
      },
    },
    options: logitOptions,
    check: (call) =>
      call.has('gradEntropy') !== call.has('entropy')
        ? {
            arg: call.has('entropy') ? 'gradEntropy' : 'entropy',
            says: 'entropy and gradEntropy belong together',
            fix: 'Give both or neither.',
            code: 'ERR_ARGUMENT',
          }
        : undefined,
    derived: { inverseTemperature },
    passes: [{ name: 'forward', grid: (call) => call.dims.N, work: (call) => 2 * call.dims.V }],
    traffic: (call) => 2 * call.dims.N * call.dims.V * call.elementBytes('logits'),
  },
  sequenceLogprobs: {
    doc: 'Token log-probabilities added up (or averaged) per sequence, and their log-ratio to a reference.',
    source: 'sums of per-token differences in f64: long pairs flip sign in f32',
    sequences: 'required',
    inputs: {
      logprob: { shape: ['*N'], doc: 'Log-probability per token.' },
      refLogprob: { shape: ['*N'], optional: true, doc: 'The reference model on the same tokens.' },
      valid,
      offsets,
    },
    outputs: {
      logprob: { shape: ['B'], doc: 'Sum or mean over valid tokens.' },
      count: { shape: ['B'], doc: 'Valid tokens of the sequence.' },
      logRatio: { shape: ['B'], when: 'refLogprob', doc: 'Sum or mean of logprob - refLogprob.' },
    },
    options: {
      reduce: {
        type: 'enum',
        values: ['sum', 'mean'],
        default: 'sum',
        doc: 'Sum, or mean over valid tokens (0 where there are none).',
      },
    },
    passes: [{ name: 'forward', grid: sequenceItems, work: tokensPerSequence }],
    traffic: (call) => call.dims.N * 4 * (call.has('refLogprob') ? 2 : 1),
  },
  sequenceLogprobsBackward: {
    doc: 'Spreads a gradient per sequence over its valid tokens.',
    source: 'd(sum)/d(token) = 1, d(mean)/d(token) = 1/count',
    sequences: 'required',
    inputs: {
      gradSequence: { shape: ['B'], doc: 'Upstream gradient of the sequence log-probability (or log-ratio).' },
      like: {
        shape: ['*N'],
        optional: true,
        doc: 'Any [B, T] tensor of the forward call, for its shape; its values are not read.',
      },
      valid,
      offsets,
    },
    outputs: { gradLogprob: { shape: ['*N'], gradient: true, doc: 'Gradient per token, exactly 0 where not valid.' } },
    options: {
      reduce: { type: 'enum', values: ['sum', 'mean'], default: 'sum', doc: 'As in the forward call.' },
    },
    check: (call) =>
      call.has('like') || call.has('valid')
        ? undefined
        : {
            arg: 'like',
            says: 'the token shape is not known: neither valid nor like was given',
            fix: 'Give like: the log-probabilities of the forward call.',
            code: 'ERR_ARGUMENT',
          },
    passes: [{ name: 'forward', grid: sequenceItems, work: tokensPerSequence }],
    traffic: (call) => call.dims.N * 4,
  },
} as const satisfies Record<string, OpSpec>
