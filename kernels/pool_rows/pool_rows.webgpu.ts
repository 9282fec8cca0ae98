import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks, type CallShape } from '../../lib/spec/schema.ts'
import { checkOffsets, chunkSlots } from '../common/sequences.webgpu.ts'

/** Rows of a sequence that are added up, or written, together; the .wgsl files have the same. */
const SUMMED = 256
const WRITTEN = 16

const include = ['common/sequences.wgsl', 'common/ends.wgsl']
const isMean = (call: CallShape): boolean => call.options.kind === 'mean'
const tiles = ({ dims }: CallShape): number => blocks(dims.H, LANES)

export const poolRowsPlan: WebgpuOp = {
  include,
  workspace: (call) => 1 + (isMean(call) ? chunkSlots(call, SUMMED) * (1 + 2 * call.dims.H) : 0),
  passes: [
    checkOffsets,
    { entry: 'partials', when: isMean, groups: (call) => chunkSlots(call, SUMMED) * tiles(call) },
    { entry: 'finish', when: isMean, groups: (call) => call.dims.B * tiles(call) },
    { entry: 'last', when: (call) => !isMean(call), groups: ({ dims }) => dims.B },
  ],
}

export const poolRowsBackwardPlan: WebgpuOp = {
  include,
  workspace: ({ dims }) => 1 + dims.B,
  passes: [
    checkOffsets,
    { entry: 'pooled', groups: ({ dims }) => dims.B },
    { entry: 'rows', groups: (call) => chunkSlots(call, WRITTEN) },
  ],
}
