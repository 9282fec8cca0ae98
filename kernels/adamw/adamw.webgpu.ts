import type { WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks } from '../../lib/spec/schema.ts'
import { flatGroups } from '../grad_norm/grad_norm.webgpu.ts'

/** As in adamw.wgsl: parameters of a workgroup of `update`, words before the flags of `scan`. */
const UPDATES = 2048
const HEADER = 8

export const adamwPlan: WebgpuOp = {
  workspace: (call) => HEADER + flatGroups(call),
  passes: [
    { entry: 'scan', when: (call) => !call.has('norm'), groups: flatGroups },
    { entry: 'prepare', groups: () => 1 },
    { entry: 'update', groups: ({ dims }) => blocks(dims.P, UPDATES) },
  ],
}
