/** Rotary positions and attention. */
import { offsets, rowwise } from './common.ts'
import { blocks, type CallShape, type OpSpec, type OptionSpec, type PassSpec, type Problem } from './schema.ts'

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
  if (headSize(call) % 2 !== 0) {
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

/** Positions that one item of the passes `angles` prepares. */
const ANGLE_BLOCK = 64

const headSize = (call: CallShape): number => call.dims.Q / Number(call.options.heads)

/** Most keys that one sequence can have: a row of the cache, T, or all N tokens when packed. */
const mostKeys = (call: CallShape): number => {
  const { B, M, N, T } = call.dims
  return call.has('keyLengths') ? Math.floor(M / Math.max(1, B)) : call.has('offsets') ? N : T
}

/** f32 words for the cosines and sines of one position, each padded to whole vectors. */
const angleFloats = (size: number): number => 2 * 16 * blocks(size / 2, 16)

/** Sizes that the scratch of one thread is made of: the head and the keys, bare and padded to whole vectors. */
const scratchSizes = (call: CallShape) => {
  const size = headSize(call)
  const keys = mostKeys(call)
  return { size, keys, padded: 16 * blocks(size, 16), panelKeys: 32 * blocks(keys, 32) }
}

/** Packed keys, values, scores twice (also transposed), a block of rows and its sums, one position's angles. */
const forwardFloats = (call: CallShape): number => {
  const { size, keys, padded, panelKeys } = scratchSizes(call)
  return panelKeys * size + keys * padded + 32 * (panelKeys + 16) + 64 * padded + angleFloats(size)
}

/** Packed keys and values, keys and the sums of both gradients, three rows of scores per row, and a block of rows. */
const backwardFloats = (call: CallShape): number => {
  const { size, keys, padded, panelKeys } = scratchSizes(call)
  return 2 * panelKeys * size + 3 * keys * padded + 48 * (panelKeys + 16) + 80 * padded
}

const angleTable = (call: CallShape): number =>
  call.options.keysRotated ? 0 : mostKeys(call) * angleFloats(headSize(call))

const anglesPass = {
  name: 'angles',
  when: (call) => !call.options.keysRotated,
  grid: (call) => blocks(mostKeys(call), ANGLE_BLOCK),
  work: (call) => 8 * ANGLE_BLOCK * headSize(call),
} as const satisfies PassSpec

/** One item per sequence and key head; `cost` in elements per query, key and element of a head. */
const itemsPass = (cost: number) =>
  ({
    name: 'forward',
    grid: (call) => call.dims.B * Number(call.options.keyValueHeads),
    work: (call) => {
      const { B, N, Q } = call.dims
      const queries = N / Math.max(1, B)
      const keys = call.has('offsets') ? queries : mostKeys(call)
      return (cost * queries * keys * Q) / Number(call.options.keyValueHeads)
    },
  }) as const satisfies PassSpec

export const attention = {
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
      headSize(call) % 2 !== 0
        ? {
            arg: 'heads',
            says: `width ${call.dims.Q} over ${call.options.heads} heads is not an even head size`,
            fix: 'The head size must be a whole even number.',
          }
        : undefined,
    workspace: (call) => 4 * call.threads * angleFloats(headSize(call)),
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
    derived: { workerFloats: forwardFloats },
    workspace: (call) => 4 * (angleTable(call) + call.threads * forwardFloats(call)),
    passes: [anglesPass, itemsPass(1 / 8)],
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
    derived: { workerFloats: backwardFloats },
    workspace: (call) => 4 * (angleTable(call) + call.threads * backwardFloats(call)),
    passes: [anglesPass, itemsPass(1 / 3)],
    traffic: (call) => 4 * (4 * call.dims.N * call.dims.Q + 4 * call.dims.N * call.dims.C),
  },
} as const satisfies Record<string, OpSpec>
