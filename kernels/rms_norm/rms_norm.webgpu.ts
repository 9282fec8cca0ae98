import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks } from '../../lib/spec/schema.ts'
import { rows } from '../common/plan.ts'

export const rmsNormPlan = rows('N')

/** Rows that one partial gradWeight adds up; rms_norm_backward.wgsl has the same. */
const BLOCK = 64

export const rmsNormBackwardPlan: WebgpuOp = {
  workspace: ({ dims }) => blocks(dims.N, BLOCK) * dims.H,
  passes: [
    // First what reads gradY: `rows` may write gradX in its place.
    { entry: 'partial', groups: ({ dims }) => blocks(dims.N, BLOCK) },
    { entry: 'finish', groups: ({ dims }) => blocks(dims.H, LANES) },
    { entry: 'rows', groups: ({ dims }) => dims.N },
  ],
}
