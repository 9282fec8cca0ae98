import type { WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { rowTiles } from '../common/row_plans.ts'

export const scatterRowsPlan: WebgpuOp = {
  include: ['common/row_tiles.wgsl'],
  // Of each row that is named, the position that names it last.
  workspace: ({ dims }) => dims.M,
  passes: [
    { entry: 'last', groups: ({ dims }) => Math.min(dims.N, 1) },
    { entry: 'write', groups: ({ dims }) => rowTiles(dims.N, dims.H) },
  ],
}
