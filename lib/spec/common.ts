/** Inputs, options and passes that several families share, written once. */
import { blocks, type CallShape, type InputSpec, type OptionSpec, type PassSpec, type Problem } from './schema.ts'

export const idFault = {
  code: 'ERR_ID_RANGE',
  says: 'holds an id outside the vocabulary',
  fix: 'Check that the tokenizer and the model have the same vocabulary size.',
} as const

export const valid = {
  shape: ['*N'],
  dtypes: ['u8'],
  optional: true,
  doc: 'Nonzero counts; absent: all positions count. Positions that do not count have no effect whatever they hold.',
} as const satisfies InputSpec

export const offsets = {
  shape: ['B+1'],
  dtypes: ['i32'],
  optional: true,
  fault: {
    code: 'ERR_OFFSETS',
    says: 'must start at 0, never fall, and end at N',
    fix: 'Give the running sum of the sequence lengths: [0, n0, n0+n1, ...].',
  },
  doc: 'Packed sequences: sequence b is offsets[b] up to offsets[b+1].',
} as const satisfies InputSpec

export const gradScale = {
  type: 'number',
  default: 1,
  dynamic: true,
  doc: 'Multiplies the gradients only, so that several losses can be added up in one gradient buffer.',
} as const satisfies OptionSpec

export const normalizer = {
  type: 'number',
  above: 0,
  dynamic: true,
  doc: 'Replaces the outer denominator, so that micro-batches add up to the full batch.',
} as const satisfies OptionSpec

/** The order of `values` is the code that kernels see. */
export const aggregate = {
  type: 'enum',
  values: ['token-mean', 'sequence-mean', 'sequence-mean-token-sum', 'token-sum'],
  default: 'token-mean',
  doc: 'How terms become one number: mean over valid tokens; mean over sequences of their token means; mean over sequences of their token sums; plain sum.',
} as const satisfies OptionSpec

export const countEmpty = {
  type: 'boolean',
  default: false,
  doc: "With 'sequence-mean' and 'sequence-mean-token-sum': sequences without a valid token count in the denominator.",
} as const satisfies OptionSpec

/** Tokens that one work item of a token loss covers; anchored at the start of each sequence. */
export const TOKEN_CHUNK = 4096

/** Sequence-anchored chunks: a packed call cannot know its lengths on the host, so there an item is a whole sequence. */
export const sequenceChunks = (call: CallShape): number => {
  const { B, T } = call.dims
  return call.has('offsets') ? B : B * blocks(T, TOKEN_CHUNK)
}

/** Tokens of an average sequence. */
export const tokensPerSequence = (call: CallShape): number => call.dims.N / Math.max(1, call.dims.B)

const tokensPerChunk = (call: CallShape): number =>
  call.has('offsets') ? tokensPerSequence(call) : Math.min(call.dims.T, TOKEN_CHUNK)

/** One item per sequence; offsets of no sequence at all still have to be looked at. */
export const sequenceItems = (call: CallShape): number => Math.max(call.dims.B, call.has('offsets') ? 1 : 0)

/**
 * The passes of a token loss. `prepare` counts the valid tokens of each sequence (and adds up whatever a term needs to know
 * of its whole sequence), `coefficients` turns the counts into denominators, `terms` writes gradients and partial sums,
 * `finish` adds the partial sums up in sequence order.
 */
export const tokenLossPasses = [
  {
    name: 'prepare',
    grid: (call) => call.dims.B,
    work: (call) => (call.options.ratioLevel === 'sequence' ? 2 : 1 / 16) * tokensPerSequence(call),
  },
  { name: 'coefficients', grid: () => 1, work: (call) => call.dims.B },
  { name: 'terms', grid: sequenceChunks, work: (call) => 8 * tokensPerChunk(call) },
  { name: 'finish', grid: () => 1, work: (call) => sequenceChunks(call) },
] as const satisfies readonly PassSpec[]

/** f64 words: one header, 4 per sequence (from `prepare`), 16 per item of `terms`. kernels/common/token_loss.h has the same. */
export const tokenLossWorkspace = (call: CallShape): number => 8 * (8 + 4 * call.dims.B + 16 * sequenceChunks(call))

/** Sequence aggregates need to know where sequences end. */
export const needsSequences = (call: CallShape): Problem | undefined =>
  call.flat && (call.options.aggregate === 'sequence-mean' || call.options.aggregate === 'sequence-mean-token-sum')
    ? {
        arg: 'aggregate',
        says: `'${call.options.aggregate}' needs to know where sequences end, and a flat [N] does not say`,
        fix: 'Give [B, T] tensors, or packed [N] with offsets.',
        code: 'ERR_ARGUMENT',
      }
    : undefined

/** Items of a pass over single elements. */
export const ELEMENT_CHUNK = 16384
export const elementChunks = (letter: string) => (call: CallShape) => blocks(call.dims[letter], ELEMENT_CHUNK)

/** One pass over `letter` elements in chunks, each independent of the others. */
export const elementwise = (letter: string, name = 'forward'): readonly PassSpec[] => [
  { name, grid: elementChunks(letter), work: (call) => Math.min(ELEMENT_CHUNK, call.dims[letter]) },
]

/** Rows are dealt one by one; `width` elements each. */
export const rowwise = (rows: string, width: string, name = 'forward', cost = 1): readonly PassSpec[] => [
  { name, grid: (call) => call.dims[rows], work: (call) => cost * call.dims[width] },
]
