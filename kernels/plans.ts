/** The WGSL plans of all ops, by op. */
import type { WebgpuOp } from '../lib/backends/webgpu/plan.ts'
import { addPlan } from './add/add.webgpu.ts'
import { rmsNormBackwardPlan, rmsNormPlan } from './rms_norm/rms_norm.webgpu.ts'

export const plans: Readonly<Record<string, WebgpuOp>> = {
  add: addPlan,
  rmsNorm: rmsNormPlan,
  rmsNormBackward: rmsNormBackwardPlan,
}
