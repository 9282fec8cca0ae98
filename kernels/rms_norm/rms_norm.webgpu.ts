import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks, type CallShape } from '../../lib/spec/schema.ts'
import { isNarrow, narrowGroups } from '../common/narrow_rows.webgpu.ts'

const include = ['common/narrow_rows.wgsl']

/** A workgroup for each row, or for eight narrow ones. */
const rows = (entry: string) => [
  { entry, when: ({ dims }: CallShape) => !isNarrow(dims.H), groups: ({ dims }: CallShape) => dims.N },
  {
    entry: 'narrow',
    when: ({ dims }: CallShape) => isNarrow(dims.H),
    groups: ({ dims }: CallShape) => narrowGroups(dims.N),
  },
]

export const rmsNormPlan: WebgpuOp = { include, passes: rows('forward') }

/** Rows that one partial gradWeight adds up; rms_norm_backward.wgsl has the same. */
const BLOCK = 64

export const rmsNormBackwardPlan: WebgpuOp = {
  include,
  workspace: ({ dims }) => blocks(dims.N, BLOCK) * dims.H,
  passes: [
    // First what reads gradY: the other pass may write gradX in its place.
    { entry: 'partial', groups: ({ dims }) => blocks(dims.N, BLOCK) },
    { entry: 'finish', groups: ({ dims }) => blocks(dims.H, LANES) },
    ...rows('rows'),
  ],
}
