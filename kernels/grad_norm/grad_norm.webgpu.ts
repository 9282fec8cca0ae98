import type { WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks, type CallShape } from '../../lib/spec/schema.ts'

/** As in grad_norm.wgsl: enough workgroups to fill a device, few enough to be added up by one. */
const BLOCK = 4096
const MOST_GROUPS = 1024
const PARTIAL_WORDS = 3

/** Workgroups that share the reading of one flat tensor. */
export const flatGroups = ({ dims }: CallShape): number => Math.min(blocks(dims.P, BLOCK), MOST_GROUPS)

export const gradNormPlan: WebgpuOp = {
  workspace: (call) => PARTIAL_WORDS * flatGroups(call),
  passes: [
    { entry: 'partials', groups: flatGroups },
    { entry: 'finish', groups: () => 1 },
  ],
}
