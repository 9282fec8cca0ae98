/** Plans of ops that move and add up rows by number. */
import { LANES, type WebgpuOp, type WebgpuPass } from '../../lib/backends/webgpu/plan.ts'
import { blocks, type CallShape } from '../../lib/spec/schema.ts'

const TILE_ROWS = 16
const TILE_COLUMNS = 64

/** Workgroups for rows of `H` elements: row_tiles.wgsl has the same. */
export const rowTiles = (rows: number, width: number): number => blocks(rows, TILE_ROWS) * blocks(width, TILE_COLUMNS)

export const pickRows: WebgpuOp = {
  include: ['common/row_tiles.wgsl', 'common/pick_rows.wgsl'],
  passes: [{ entry: 'forward', groups: ({ dims }) => rowTiles(dims.N, dims.H) }],
}

const DIGIT = 256
/** Positions of a row that one invocation adds up, and the columns that a longer row is cut into. */
const FEW = 32
const PART_COLUMNS = 32

/** Sums of rows of gradY [N, H], for `letter` rows: add_rows.wgsl has the same. */
export const addRows = (letter: string): WebgpuOp => {
  const tiles = ({ dims }: CallShape): number => blocks(dims.N, LANES)
  const digits = [0, 1, 2, 3].flatMap((digit): WebgpuPass[] => {
    const when = ({ dims }: CallShape): boolean => dims[letter] >= DIGIT ** digit
    return [
      { entry: `count_${digit}`, when, groups: tiles },
      { entry: 'scan', when, groups: () => 1 },
      { entry: `place_${digit}`, when, groups: tiles },
    ]
  })
  return {
    include: ['common/row_tiles.wgsl', 'common/add_rows.wgsl'],
    workspace: ({ dims }) => 2 * dims.N + blocks(dims.N, LANES) * DIGIT + dims[letter] + 1,
    passes: [
      ...digits,
      { entry: 'bounds', groups: ({ dims }) => blocks(dims[letter] + 1, LANES) },
      { entry: 'add', groups: ({ dims }) => rowTiles(dims[letter], dims.H) },
      { entry: 'add_long', groups: ({ dims }) => blocks(dims.N, FEW) * blocks(dims.H, PART_COLUMNS) },
    ],
  }
}
