/** The built-in policy's own ops: a small Llama-shaped transformer is made of these. */
import { elementwise, idFault, offsets, rowwise, sequenceItems, tokensPerSequence, valid } from './common.ts'
import { blocks, type CallShape, type InputSpec, type OpSpec, type OptionSpec, type Problem } from './schema.ts'

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

/** A matrix product is dealt in tiles of output; see kernels/linear for the micro-kernel that fills one. */
export const GEMM_TILE_ROWS = 192
export const GEMM_TILE_COLUMNS = 256
/** f32 words of packing space per thread: one panel of each operand for up to 512 terms. */
export const GEMM_PACK_FLOATS = (GEMM_TILE_ROWS + GEMM_TILE_COLUMNS) * 512
const gemmTiles = (rows: number, columns: number): number =>
  blocks(rows, GEMM_TILE_ROWS) * blocks(columns, GEMM_TILE_COLUMNS)
const gemmWork = (terms: number): number => (GEMM_TILE_ROWS * GEMM_TILE_COLUMNS * terms) / 16
const gemmWorkspace = (call: CallShape): number => 4 * GEMM_PACK_FLOATS * call.threads

const attentionOptions = {
  heads: { type: 'integer', required: true, min: 1, doc: 'Query heads.' },
  keyValueHeads: {
    type: 'integer',
    required: true,
    min: 1,
    doc: 'Key and value heads; divides heads (grouped-query attention).',
  },
  base: { type: 'number', default: 10000, above: 1, doc: 'Rotary base (theta).' },
} as const satisfies Record<string, OptionSpec>

const checkHeads = (call: CallShape): Problem | undefined => {
  const { heads, keyValueHeads } = call.options as { heads: number; keyValueHeads: number }
  const { Q, C } = call.dims
  if (heads % keyValueHeads !== 0) {
    return { arg: 'keyValueHeads', says: `${keyValueHeads} does not divide heads = ${heads}`, fix: 'Choose a divisor.' }
  }
  if (Q % heads !== 0 || (Q / heads) % 2 !== 0) {
    return {
      arg: 'heads',
      says: `width ${Q} over ${heads} heads is not an even head size`,
      fix: 'The head size must be a whole even number.',
    }
  }
  if (C * heads !== Q * keyValueHeads) {
    return {
      arg: 'key',
      says: `width ${C} does not fit ${keyValueHeads} heads of size ${Q / heads}`,
      fix: 'key and value are [.., keyValueHeads * headSize].',
      code: 'ERR_SHAPE',
    }
  }
  return undefined
}

/** Longest sequence that attention can meet: T, or all N tokens when packed. */
const longest = (call: CallShape): number => (call.has('offsets') ? call.dims.N : call.dims.T)

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
  linear: {
    doc: 'Matrix product with a weight, in true f32 with one fixed order of terms: a row has the same bits in any batch.',
    source: 'y = x weight^T + bias; each y is one fma chain over k = 0, 1, ... starting from 0',
    inputs: {
      x: { shape: ['*N', 'I'], doc: 'Rows.' },
      weight: { shape: ['O', 'I'], doc: 'One row per output.' },
      bias: { shape: ['O'], optional: true, doc: 'Added last.' },
    },
    outputs: { y: { shape: ['*N', 'O'], doc: 'The product.' } },
    options: {},
    workspace: gemmWorkspace,
    passes: [
      { name: 'forward', grid: (call) => gemmTiles(call.dims.N, call.dims.O), work: (call) => gemmWork(call.dims.I) },
    ],
    traffic: (call) => 4 * (call.dims.N * call.dims.I + call.dims.O * call.dims.I + call.dims.N * call.dims.O),
  },
  linearBackward: {
    doc: 'Gradients of linear; each can be left out.',
    source: 'gradX = gradY weight; gradWeight = gradY^T x; gradBias = sum of rows of gradY; fma chains in rising order',
    inputs: {
      gradY: { shape: ['*N', 'O'], doc: 'Upstream gradient.' },
      x: { shape: ['*N', 'I'], doc: 'From the forward call.' },
      weight: { shape: ['O', 'I'], doc: 'From the forward call.' },
    },
    outputs: {
      gradX: { shape: ['*N', 'I'], when: 'wantX', gradient: true, doc: 'Gradient of x.' },
      gradWeight: { shape: ['O', 'I'], when: 'wantWeight', gradient: true, doc: 'Gradient of the weight.' },
      gradBias: { shape: ['O'], when: 'wantBias', gradient: true, doc: 'Gradient of the bias.' },
    },
    options: {
      wantX: { type: 'boolean', default: true, doc: 'Compute gradX.' },
      wantWeight: { type: 'boolean', default: true, doc: 'Compute gradWeight.' },
      wantBias: { type: 'boolean', default: false, doc: 'Compute gradBias.' },
    },
    workspace: gemmWorkspace,
    passes: [
      {
        name: 'gradX',
        when: (call) => call.has('gradX'),
        grid: (call) => gemmTiles(call.dims.N, call.dims.I),
        work: (call) => gemmWork(call.dims.O),
      },
      {
        name: 'gradWeight',
        when: (call) => call.has('gradWeight'),
        grid: (call) => gemmTiles(call.dims.O, call.dims.I),
        work: (call) => gemmWork(call.dims.N),
      },
      {
        name: 'gradBias',
        when: (call) => call.has('gradBias'),
        grid: (call) => blocks(call.dims.O, TABLE_BLOCK),
        work: (call) => call.dims.N * TABLE_BLOCK,
      },
    ],
    traffic: (call) =>
      4 * (2 * call.dims.N * call.dims.O + 2 * call.dims.N * call.dims.I + 2 * call.dims.O * call.dims.I),
  },
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
  rotary: {
    doc: 'Rotates pairs of each head by an angle that grows with the position.',
    source:
      'Su et al. 2021 (arXiv:2104.09864) eq. 34, halves layout: pairs (i, i + headSize/2), angle position * base^(-2i/headSize)',
    inputs: {
      x: { shape: ['*N', 'Q'], doc: 'Queries or keys.' },
      positions: { shape: ['*N'], dtypes: ['i32'], doc: 'Position of each row in its sequence.' },
    },
    outputs: { y: { shape: ['*N', 'Q'], inPlaceOf: ['x'], doc: 'Rotated rows.' } },
    options: {
      heads: { type: 'integer', required: true, min: 1, doc: 'Heads in a row.' },
      base: attentionOptions.base,
    },
    check: (call) =>
      call.dims.Q % Number(call.options.heads) !== 0 || (call.dims.Q / Number(call.options.heads)) % 2 !== 0
        ? {
            arg: 'heads',
            says: `width ${call.dims.Q} over ${call.options.heads} heads is not an even head size`,
            fix: 'The head size must be a whole even number.',
          }
        : undefined,
    passes: rowwise('N', 'Q', 'forward', 4),
    traffic: (call) => call.dims.N * call.dims.Q * 8,
  },
  rotaryAttention: {
    doc: 'Causal grouped-query attention with rotary positions; packed or padded; a cache of rotated keys may be longer than the queries.',
    source:
      'Vaswani et al. 2017 (arXiv:1706.03762) eq. 1; rotary: Su et al. 2021 (arXiv:2104.09864) eq. 34; scores * headSize^(-1/2)',
    sequences: 'required',
    inputs: {
      query: { shape: ['*N', 'Q'], doc: 'heads * headSize per token.' },
      key: { shape: ['*M', 'C'], doc: 'keyValueHeads * headSize per token: laid out as query, or a cache [B, S, C].' },
      value: { shape: ['*M', 'C'], doc: 'As key.' },
      offsets: { ...offsets, doc: 'Packed sequences of query (and key).' },
      keyLengths: {
        shape: ['B'],
        dtypes: ['i32'],
        optional: true,
        fault: {
          code: 'ERR_BAD_VALUE',
          says: 'is shorter than the queries or longer than the cache',
          fix: 'Count the keys in the cache, those of this call included.',
        },
        doc: 'Keys in each row of a cache [B, S, C] (those of the queries included). The last query sits at position keyLength - 1. Absent: key is laid out as query.',
      },
    },
    outputs: {
      y: { shape: ['*N', 'Q'], doc: 'Attention output per head.' },
      logSum: { shape: ['N', 'A'], doc: 'log-sum-exp of the scaled scores per token and head, for the backward call.' },
    },
    options: {
      ...attentionOptions,
      keysRotated: {
        type: 'boolean',
        default: false,
        doc: 'The keys already carry their rotation (a cache filled through rotary).',
      },
    },
    dimsFrom: { A: 'heads' },
    check: (call) =>
      checkHeads(call) ??
      (call.has('keyLengths') && (call.has('offsets') || call.dims.M % Math.max(1, call.dims.B) !== 0)
        ? {
            arg: 'keyLengths',
            says: 'belongs to query [B, T, Q] and a cache [B, S, C]',
            fix: 'Leave offsets out and give one cache row per sequence.',
            code: 'ERR_SHAPE',
          }
        : !call.has('keyLengths') && call.dims.M !== call.dims.N
          ? {
              arg: 'key',
              says: `has ${call.dims.M} rows but query has ${call.dims.N}`,
              fix: 'Give keyLengths when the keys are a cache.',
              code: 'ERR_SHAPE',
            }
          : undefined),
    // Per thread: one head's rotated keys, one rotated query, and one row of scores (f32 each).
    workspace: (call) => {
      const keys = call.has('keyLengths') ? call.dims.M / Math.max(1, call.dims.B) : longest(call)
      const size = call.dims.Q / Number(call.options.heads)
      return 4 * call.threads * ((keys + 32) * (size + 16) * 2 + 64 * (keys + 64) + 4096)
    },
    passes: [
      {
        name: 'forward',
        grid: (call) => call.dims.B * Number(call.options.keyValueHeads),
        work: (call) =>
          (call.dims.N * longest(call) * call.dims.Q) /
          Math.max(1, call.dims.B * Number(call.options.keyValueHeads)) /
          2,
      },
    ],
    traffic: (call) => 4 * (2 * call.dims.N * call.dims.Q + 2 * call.dims.M * call.dims.C),
  },
  rotaryAttentionBackward: {
    doc: 'Gradients of rotaryAttention for training (keys laid out as queries), probabilities recomputed.',
    source: 'Dao et al. 2022 (arXiv:2205.14135) appendix B.2: D = sum gradY y, gradScore = p (gradY value - D)',
    sequences: 'required',
    inputs: {
      gradY: { shape: ['*N', 'Q'], doc: 'Upstream gradient.' },
      query: { shape: ['*N', 'Q'], doc: 'From the forward call.' },
      key: { shape: ['*N', 'C'], doc: 'From the forward call.' },
      value: { shape: ['*N', 'C'], doc: 'From the forward call.' },
      y: { shape: ['*N', 'Q'], doc: 'From the forward call.' },
      logSum: { shape: ['N', 'A'], doc: 'From the forward call.' },
      offsets,
    },
    outputs: {
      gradQuery: { shape: ['*N', 'Q'], gradient: true, doc: 'Gradient of query, before its rotation.' },
      gradKey: { shape: ['*N', 'C'], gradient: true, doc: 'Gradient of key, before its rotation.' },
      gradValue: { shape: ['*N', 'C'], gradient: true, doc: 'Gradient of value.' },
    },
    options: attentionOptions,
    dimsFrom: { A: 'heads' },
    check: checkHeads,
    workspace: (call) => {
      const size = call.dims.Q / Number(call.options.heads)
      return 4 * call.threads * ((longest(call) + 32) * (size + 16) * 8 + 128 * (longest(call) + 64) + 4096)
    },
    passes: [
      {
        name: 'forward',
        grid: (call) => call.dims.B * Number(call.options.keyValueHeads),
        work: (call) =>
          (call.dims.N * longest(call) * call.dims.Q) / Math.max(1, call.dims.B * Number(call.options.keyValueHeads)),
      },
    ],
    traffic: (call) => 4 * (4 * call.dims.N * call.dims.Q + 4 * call.dims.N * call.dims.C),
  },
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
