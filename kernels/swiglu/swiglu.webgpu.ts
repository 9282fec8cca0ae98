import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks } from '../../lib/spec/schema.ts'

/** Both read everything of an element before they write there: outputs may lie in the place of inputs. */
export const swigluPlan: WebgpuOp = {
  passes: [{ entry: 'forward', groups: ({ dims }) => blocks(dims.N * dims.H, LANES) }],
}

export const swigluBackwardPlan = swigluPlan
