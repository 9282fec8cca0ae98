import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks, type CallShape } from '../../lib/spec/schema.ts'

const headSize = ({ dims, options }: CallShape): number => dims.Q / Number(options.heads)

export const rotaryPlan: WebgpuOp = {
  include: ['common/rotation.wgsl'],
  workspace: headSize,
  passes: [
    { entry: 'frequencies', groups: (call) => blocks(headSize(call) / 2, LANES) },
    { entry: 'forward', groups: ({ dims }) => blocks((dims.N * dims.Q) / 2, LANES) },
  ],
}
