import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks } from '../../lib/spec/schema.ts'

/** As in whiten.wgsl: values of a chunk, words of the scale and of a chunk's moments. */
const CHUNK = 4096
const HEADER = 8
const CHUNK_WORDS = 6

export const whitenPlan: WebgpuOp = {
  workspace: ({ dims }) => HEADER + CHUNK_WORDS * blocks(dims.N, CHUNK),
  passes: [
    { entry: 'moments', groups: ({ dims }) => blocks(dims.N, CHUNK) },
    { entry: 'combine', groups: ({ dims }) => Math.min(dims.N, 1) },
    { entry: 'forward', groups: ({ dims }) => blocks(dims.N, LANES) },
  ],
}
