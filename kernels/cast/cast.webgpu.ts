import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks } from '../../lib/spec/schema.ts'

/** A pass over the words of y, one more than the elements fill where it begins inside one. */
export const castPlan: WebgpuOp = {
  passes: [
    {
      entry: 'forward',
      groups: ({ dims, options }) => blocks(options.dtype === 'f32' ? dims.N : blocks(dims.N, 2) + 1, LANES),
    },
  ],
}
