import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks, type CallShape } from '../../lib/spec/schema.ts'

/** Rows and columns of a tile; common/gemm.wgsl has the same. */
const TILE = 64
/** Most rows of the pass `narrow`, and columns of its tiles; linear.wgsl has the same. */
const NARROW = 16

const tiles = (rows: number, columns: number): number => blocks(rows, TILE) * blocks(columns, TILE)
const isNarrow = ({ dims }: CallShape): boolean => dims.N <= NARROW

export const linearPlan: WebgpuOp = {
  include: ['common/gemm.wgsl'],
  passes: [
    { entry: 'narrow', when: isNarrow, groups: ({ dims }) => (dims.N === 0 ? 0 : blocks(dims.O, NARROW)) },
    { entry: 'forward', when: (call) => !isNarrow(call), groups: ({ dims }) => tiles(dims.N, dims.O) },
  ],
}

/** As in linear_backward.wgsl: tiles below which the rows of gradWeight are divided, rows of a part, rows of a block. */
const FEW_TILES = 128
const PART_ROWS = 1024
const MOST_PARTS = 32
const BIAS_ROWS = 64

/** Parts of rows that gradWeight is added up from. */
const weightParts = ({ dims: { N, O, I } }: CallShape): number =>
  tiles(O, I) >= FEW_TILES ? 1 : Math.max(1, blocks(N, Math.max(PART_ROWS, 16 * blocks(N, 16 * MOST_PARTS))))

const isDivided = (call: CallShape): boolean => call.has('gradWeight') && weightParts(call) > 1

export const linearBackwardPlan: WebgpuOp = {
  include: ['common/gemm.wgsl'],
  workspace: (call) => {
    const { N, O, I } = call.dims
    return Math.max(
      isDivided(call) ? weightParts(call) * O * I : 0,
      call.has('gradBias') ? 2 * blocks(N, BIAS_ROWS) * O : 0,
    )
  },
  passes: [
    { entry: 'gradX', when: (call) => call.has('gradX'), groups: ({ dims }) => tiles(dims.N, dims.I) },
    {
      entry: 'gradWeight',
      when: (call) => call.has('gradWeight'),
      groups: (call) => weightParts(call) * tiles(call.dims.O, call.dims.I),
    },
    { entry: 'addParts', when: isDivided, groups: ({ dims }) => blocks(dims.O * dims.I, LANES) },
    {
      entry: 'biasParts',
      when: (call) => call.has('gradBias'),
      groups: ({ dims }) => blocks(dims.N, BIAS_ROWS) * blocks(dims.O, LANES),
    },
    { entry: 'addBias', when: (call) => call.has('gradBias'), groups: ({ dims }) => blocks(dims.O, LANES) },
  ],
}
