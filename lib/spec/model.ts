/** The built-in policy's own ops: a small Llama-shaped transformer is made of these. */
import { attention } from './attention.ts'
import { elementwise, idFault, offsets, rowwise, sequenceItems, tokensPerSequence, valid } from './common.ts'
import { linear } from './linear.ts'
import { blocks, type CallShape, type InputSpec, type OpSpec } from './schema.ts'

const ids = {
  shape: ['*N'],
  dtypes: ['i32'],
  fault: idFault,
  doc: 'Row of the table per position.',
} as const satisfies InputSpec

const rowFault = {
  code: 'ERR_ID_RANGE',
  says: 'holds a row number outside x',
  fix: 'Row numbers are 0 up to the number of rows, exclusive.',
} as const

/** Rows of a table whose gradients one work item adds up. */
const TABLE_BLOCK = 128
/** `sort` lists the positions of each row in order, `forward` adds their gradients up. */
const tablePasses = (letter: string) =>
  [
    { name: 'sort', grid: () => 1, work: (call: CallShape) => call.dims.N + call.dims[letter] },
    {
      name: 'forward',
      grid: (call: CallShape) => blocks(call.dims[letter], TABLE_BLOCK),
      work: (call: CallShape) => (TABLE_BLOCK + call.dims.N / blocks(call.dims[letter], TABLE_BLOCK)) * call.dims.H,
    },
  ] as const
/** u32 words: one flag, where the positions of each row begin, and the positions. */
const tableWorkspace = (letter: string) => (call: CallShape) => 4 * (call.dims.N + call.dims[letter] + 3)

export const model = {
  embedding: {
    doc: 'Looks rows of a table up.',
    source: 'y_i = table[ids_i]',
    inputs: { table: { shape: ['V', 'H'], doc: 'One row per id.' }, ids },
    outputs: { y: { shape: ['*N', 'H'], doc: 'The rows.' } },
    options: {},
    passes: rowwise('N', 'H'),
    traffic: (call) => call.dims.N * call.dims.H * 8,
  },
  embeddingBackward: {
    doc: 'Adds the gradients of equal ids up, in order of position.',
    source: 'gradTable_v = sum over i with ids_i = v of gradY_i',
    inputs: { gradY: { shape: ['*N', 'H'], doc: 'Upstream gradient.' }, ids },
    outputs: { gradTable: { shape: ['V', 'H'], gradient: true, doc: 'Gradient of the table.' } },
    options: { vocabularySize: { type: 'integer', required: true, min: 1, doc: 'Rows of the table (V).' } },
    dimsFrom: { V: 'vocabularySize' },
    workspace: tableWorkspace('V'),
    passes: tablePasses('V'),
    traffic: (call) => (call.dims.N + call.dims.V) * call.dims.H * 4,
  },
  ...linear,
  rmsNorm: {
    doc: 'Root-mean-square normalisation of rows.',
    source: 'Zhang & Sennrich 2019 (arXiv:1910.07467) eq. 4: y = x / sqrt(mean(x^2) + epsilon) * weight',
    inputs: { x: { shape: ['*N', 'H'], doc: 'Rows.' }, weight: { shape: ['H'], doc: 'Gain.' } },
    outputs: {
      y: { shape: ['*N', 'H'], doc: 'Normalised rows.' },
      inverseRms: { shape: ['*N'], doc: '1 / sqrt(mean(x^2) + epsilon) per row, for the backward call.' },
    },
    options: { epsilon: { type: 'number', default: 1e-5, above: 0, doc: 'Added to the mean square.' } },
    passes: rowwise('N', 'H', 'forward', 2),
    traffic: (call) => call.dims.N * call.dims.H * 8,
  },
  rmsNormBackward: {
    doc: 'Gradients of rmsNorm.',
    source: 'gradX = s (gradY w - x s^2 mean(gradY w x)) with s = inverseRms; gradWeight = sum over rows of gradY x s',
    inputs: {
      gradY: { shape: ['*N', 'H'], doc: 'Upstream gradient.' },
      x: { shape: ['*N', 'H'], doc: 'From the forward call.' },
      weight: { shape: ['H'], doc: 'From the forward call.' },
      inverseRms: { shape: ['*N'], doc: 'From the forward call.' },
    },
    outputs: {
      gradX: { shape: ['*N', 'H'], gradient: true, inPlaceOf: ['gradY'], doc: 'Gradient of x.' },
      gradWeight: { shape: ['H'], gradient: true, doc: 'Gradient of the gain.' },
    },
    options: {},
    // One partial gradWeight per block of 64 rows, added up in order.
    workspace: (call) => 8 * Math.max(1, blocks(call.dims.N, 64)) * call.dims.H,
    passes: [
      { name: 'rows', grid: (call) => blocks(call.dims.N, 64), work: (call) => 4 * 64 * call.dims.H },
      { name: 'finish', grid: () => 1, work: (call) => blocks(call.dims.N, 64) * call.dims.H },
    ],
    traffic: (call) => call.dims.N * call.dims.H * 12,
  },
  ...attention,
  swiglu: {
    doc: 'Gated unit of the feed-forward block.',
    source: 'Shazeer 2020 (arXiv:2002.05202) eq. 6: y = gate * sigmoid(gate) * up',
    inputs: { gate: { shape: ['*N', 'H'], doc: 'Gate.' }, up: { shape: ['*N', 'H'], doc: 'Up projection.' } },
    outputs: { y: { shape: ['*N', 'H'], inPlaceOf: ['gate', 'up'], doc: 'The product.' } },
    options: {},
    passes: rowwise('N', 'H', 'forward', 4),
    traffic: (call) => call.dims.N * call.dims.H * 12,
  },
  swigluBackward: {
    doc: 'Gradients of swiglu.',
    source: 'with s = sigmoid(gate): gradGate = gradY up s (1 + gate (1 - s)), gradUp = gradY gate s',
    inputs: {
      gradY: { shape: ['*N', 'H'], doc: 'Upstream gradient.' },
      gate: { shape: ['*N', 'H'], doc: 'From the forward call.' },
      up: { shape: ['*N', 'H'], doc: 'From the forward call.' },
    },
    outputs: {
      gradGate: { shape: ['*N', 'H'], gradient: true, inPlaceOf: ['gate'], doc: 'Gradient of gate.' },
      gradUp: { shape: ['*N', 'H'], gradient: true, inPlaceOf: ['up'], doc: 'Gradient of up.' },
    },
    options: {},
    passes: rowwise('N', 'H', 'forward', 8),
    traffic: (call) => call.dims.N * call.dims.H * 20,
  },
  add: {
    doc: 'Sum of two tensors of one shape; its gradient with respect to both is the upstream gradient itself.',
    source: 'z = x + y',
    inputs: { x: { shape: ['*N'], doc: 'First.' }, y: { shape: ['*N'], doc: 'Second.' } },
    outputs: { z: { shape: ['*N'], inPlaceOf: ['x', 'y'], doc: 'The sum.' } },
    options: {},
    passes: elementwise('N'),
    traffic: (call) => call.dims.N * 12,
  },
  axpy: {
    doc: 'y += alpha * x, in place.',
    source: 'BLAS axpy',
    inputs: { x: { shape: ['*N'], doc: 'Added.' }, y: { shape: ['*N'], updated: true, doc: 'Updated.' } },
    outputs: {},
    options: { alpha: { type: 'number', default: 1, dynamic: true, doc: 'Factor of x.' } },
    passes: elementwise('N'),
    traffic: (call) => call.dims.N * 12,
  },
  fill: {
    doc: 'Sets every element, in place.',
    source: 'x_i = value',
    inputs: { x: { shape: ['*N'], updated: true, doc: 'Filled.' } },
    outputs: {},
    options: { value: { type: 'number', default: 0, dynamic: true, doc: 'The value.' } },
    passes: elementwise('N'),
    traffic: (call) => call.dims.N * 4,
  },
  copy: {
    doc: 'Copies a tensor.',
    source: 'y = x',
    inputs: { x: { shape: ['*N'], doc: 'Source.' } },
    outputs: { y: { shape: ['*N'], doc: 'The copy.' } },
    options: {},
    passes: elementwise('N'),
    traffic: (call) => call.dims.N * 8,
  },
  cast: {
    doc: 'Changes the element type: widening is exact, narrowing rounds to nearest even.',
    source: 'IEEE 754 round to nearest, ties to even; bf16 is the upper half of an f32',
    inputs: { x: { shape: ['*N'], dtypes: ['f32', 'bf16', 'f16'], doc: 'Source.' } },
    outputs: { y: { shape: ['*N'], dtype: { option: 'dtype' }, doc: 'The same values in the other type.' } },
    options: { dtype: { type: 'enum', values: ['f32', 'bf16', 'f16'], default: 'f32', doc: 'Element type of y.' } },
    passes: elementwise('N'),
    traffic: (call) => call.dims.N * 6,
  },
  gatherRows: {
    doc: 'Picks rows.',
    source: 'y_i = x[rows_i]',
    inputs: {
      x: { shape: ['M', 'H'], doc: 'Rows to pick from.' },
      rows: { shape: ['*N'], dtypes: ['i32'], fault: rowFault, doc: 'Which.' },
    },
    outputs: { y: { shape: ['*N', 'H'], doc: 'The picked rows.' } },
    options: {},
    passes: rowwise('N', 'H'),
    traffic: (call) => call.dims.N * call.dims.H * 8,
  },
  gatherRowsBackward: {
    doc: 'Adds the gradients of picked rows up where they came from, in order.',
    source: 'gradX_m = sum over i with rows_i = m of gradY_i',
    inputs: {
      gradY: { shape: ['*N', 'H'], doc: 'Upstream gradient.' },
      rows: { shape: ['*N'], dtypes: ['i32'], fault: rowFault, doc: 'From the forward call.' },
    },
    outputs: { gradX: { shape: ['M', 'H'], gradient: true, doc: 'Gradient of x.' } },
    options: { count: { type: 'integer', required: true, min: 1, doc: 'Rows of x (M).' } },
    dimsFrom: { M: 'count' },
    workspace: tableWorkspace('M'),
    passes: tablePasses('M'),
    traffic: (call) => (call.dims.N + call.dims.M) * call.dims.H * 4,
  },
  scatterRows: {
    doc: 'Writes rows into a larger tensor, in place (a cache); rows that are not named stay as they are.',
    source: 'into[rows_i] = x_i; of equal row numbers the last wins',
    inputs: {
      x: { shape: ['*N', 'H'], doc: 'Rows to write.' },
      rows: { shape: ['*N'], dtypes: ['i32'], fault: rowFault, doc: 'Where each goes.' },
      into: { shape: ['*M', 'H'], updated: true, doc: 'Written.' },
    },
    outputs: {},
    options: {},
    // One item: equal row numbers must be met in order.
    passes: [{ name: 'forward', grid: () => 1, work: (call) => call.dims.N * call.dims.H }],
    traffic: (call) => call.dims.N * call.dims.H * 8,
  },
  poolRows: {
    doc: 'One row per sequence: the mean of its valid rows, or its last valid row.',
    source: 'y_b = mean over valid t of x_bt, or x_b,last; 0 for a sequence without a valid row',
    sequences: 'required',
    inputs: { x: { shape: ['*N', 'H'], doc: 'Rows.' }, valid, offsets },
    outputs: { y: { shape: ['B', 'H'], doc: 'Pooled rows.' } },
    options: {
      kind: {
        type: 'enum',
        values: ['mean', 'last'],
        default: 'mean',
        doc: 'Mean of the valid rows, or the last of them.',
      },
    },
    passes: [{ name: 'forward', grid: sequenceItems, work: (call) => tokensPerSequence(call) * call.dims.H }],
    traffic: (call) => call.dims.N * call.dims.H * 4,
  },
  poolRowsBackward: {
    doc: 'Spreads the gradient of pooled rows.',
    source: 'gradX_bt = gradPooled_b / count_b for valid t (mean), or gradPooled_b at the last valid t',
    sequences: 'required',
    inputs: {
      gradPooled: { shape: ['B', 'H'], doc: 'Upstream gradient.' },
      like: { shape: ['*N', 'H'], doc: 'x of the forward call, for its shape; its values are not read.' },
      valid,
      offsets,
    },
    outputs: { gradX: { shape: ['*N', 'H'], gradient: true, doc: 'Gradient of x, exactly 0 where not valid.' } },
    options: { kind: { type: 'enum', values: ['mean', 'last'], default: 'mean', doc: 'As in the forward call.' } },
    passes: [{ name: 'forward', grid: sequenceItems, work: (call) => tokensPerSequence(call) * call.dims.H }],
    traffic: (call) => call.dims.N * call.dims.H * 4,
  },
  sampleTokens: {
    doc: 'Samples one token per row of logits; equal logits bits, seed, counter and stream give the same token on every device.',
    source:
      'inverse CDF over integer weights floor(2^30 exp((x - max) / temperature)); random bits: Philox4x32-10 (Salmon et al. 2011)',
    inputs: {
      logits: { shape: ['*N', 'V'], doc: 'Scores.' },
      streams: {
        shape: ['*N'],
        dtypes: ['i32'],
        optional: true,
        doc: 'Random stream per row; absent: the row number.',
      },
    },
    outputs: {
      tokens: { shape: ['*N'], dtype: 'i32', doc: 'The sampled token; -1 where the row holds NaN or only -inf.' },
    },
    options: {
      temperature: {
        type: 'number',
        default: 1,
        min: 0,
        doc: 'Divides the logits; 0 takes the largest (first of equals).',
      },
      topK: {
        type: 'integer',
        min: 1,
        doc: 'Only the topK largest logits (all that equal the last of them) can be sampled.',
      },
      topP: {
        type: 'number',
        above: 0,
        max: 1,
        doc: 'Only the smallest set of largest probabilities that reaches topP (with ties) can be sampled.',
      },
      seed: { type: 'seed', default: 0, doc: 'Key of the generator.' },
      counter: {
        type: 'seed',
        default: 0,
        dynamic: true,
        doc: 'Position in every stream: the step of the generation.',
      },
    },
    derived: {
      inverseTemperature: (call) => (Number(call.options.temperature) > 0 ? 1 / Number(call.options.temperature) : 0),
    },
    // Per thread: one row of integer weights.
    workspace: (call) => 4 * call.threads * (call.dims.V + 16),
    passes: rowwise('N', 'V', 'forward', 3),
    traffic: (call) => call.dims.N * call.dims.V * 4,
  },
} as const satisfies Record<string, OpSpec>
