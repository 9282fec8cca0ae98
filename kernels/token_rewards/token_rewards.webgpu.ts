import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks } from '../../lib/spec/schema.ts'
import { checkOffsets } from '../common/sequences.webgpu.ts'

export const tokenRewardsPlan: WebgpuOp = {
  include: ['common/sequences.wgsl', 'common/ends.wgsl', 'common/log_ratio.wgsl'],
  workspace: () => 1,
  passes: [
    checkOffsets,
    { entry: 'tokens', groups: ({ dims }) => blocks(dims.N, LANES) },
    {
      entry: 'scores',
      when: (call) => call.has('score') || call.options.missingEndPenalty !== 0,
      groups: ({ dims }) => dims.B,
    },
  ],
}
