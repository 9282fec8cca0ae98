import { LANES, type WebgpuOp, type WebgpuPass } from '../../lib/backends/webgpu/plan.ts'
import { blocks, type CallShape } from '../../lib/spec/schema.ts'
import { checkOffsets, chunkSlots } from '../common/sequences.webgpu.ts'

/** As in tiles.wgsl: rows of a tile, and pairs of a head that one workgroup gathers. */
const OWN = 32
const SLICE = 64

const headSize = ({ dims, options }: CallShape): number => dims.Q / Number(options.heads)
const headsPerKey = ({ options }: CallShape): number => Number(options.heads) / Number(options.keyValueHeads)
const slices = (call: CallShape): number => blocks(headSize(call) / 2, SLICE)

/** Positions that need angles: the longest that a sequence can be. */
const positions = (call: CallShape): number => {
  const { B, M, N, T } = call.dims
  return call.has('keyLengths') ? Math.floor(M / Math.max(1, B)) : call.has('offsets') ? N : T
}
const needsAngles = ({ options }: CallShape): boolean => options.keysRotated !== true

/** The word of sequences.wgsl, the frequencies, the angles. */
const preparedWords = (call: CallShape): number => 1 + headSize(call) * (1 + (needsAngles(call) ? positions(call) : 0))

const preparations: readonly WebgpuPass[] = [
  checkOffsets,
  { entry: 'frequencies', groups: (call) => blocks(headSize(call) / 2, LANES) },
  {
    entry: 'angles',
    when: needsAngles,
    groups: (call) => blocks((positions(call) * headSize(call)) / 2, LANES),
  },
]

/** Tiles of query rows: whole tokens of up to 32 heads that share a key head. */
const queryTiles = (call: CallShape): number => {
  const heads = headsPerKey(call)
  const tokens = Math.floor(OWN / Math.min(heads, OWN))
  return chunkSlots(call, tokens) * Number(call.options.keyValueHeads) * blocks(heads, OWN) * slices(call)
}

const include = ['common/sequences.wgsl', 'common/rotation.wgsl', 'rotary_attention/tiles.wgsl']

/** Of rotated keys, with heads that single.wgsl holds; where many share a key head, a tile reads the keys less often. */
const isSingle = (call: CallShape): boolean =>
  call.has('keyLengths') &&
  call.dims.T === 1 &&
  call.options.keysRotated === true &&
  headSize(call) <= 256 &&
  headsPerKey(call) <= 4

export const rotaryAttentionPlan: WebgpuOp = {
  include: [...include, 'rotary_attention/single.wgsl'],
  workspace: preparedWords,
  passes: [
    ...preparations,
    {
      entry: 'check_lengths',
      when: (call) => call.has('keyLengths'),
      groups: ({ dims }) => blocks(dims.B, LANES),
    },
    { entry: 'single', when: isSingle, groups: ({ dims }) => dims.N * dims.A },
    { entry: 'forward', when: (call) => !isSingle(call), groups: queryTiles },
  ],
}

/** Log-sum-exp and mean of each row for the passes that follow. */
const rowWords = ({ dims }: CallShape): number => 2 * dims.N * dims.A

export const rotaryAttentionBackwardPlan: WebgpuOp = {
  include,
  workspace: (call) => preparedWords(call) + rowWords(call),
  passes: [
    ...preparations,
    { entry: 'rows', groups: ({ dims }) => blocks(dims.N * dims.A, OWN) },
    { entry: 'queries', groups: queryTiles },
    {
      entry: 'keys',
      groups: (call) => chunkSlots(call, OWN) * Number(call.options.keyValueHeads) * slices(call),
    },
  ],
}
