import type { WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import type { CallShape } from '../../lib/spec/schema.ts'

const isLimited = ({ options }: CallShape): boolean => options.topK !== undefined || options.topP !== undefined
const groups = ({ dims }: CallShape): number => dims.N

export const sampleTokensPlan: WebgpuOp = {
  include: ['common/u64.wgsl'],
  passes: [
    { entry: 'forward', when: (call) => !isLimited(call), groups },
    { entry: 'limited', when: isLimited, groups },
  ],
}
