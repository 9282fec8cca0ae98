/** Plans that several ops share. */
import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks } from '../../lib/spec/schema.ts'

/** One pass `forward` over single elements, 256 to a workgroup. */
export const elements = (letter: string): WebgpuOp => ({
  passes: [{ entry: 'forward', groups: ({ dims }) => blocks(dims[letter], LANES) }],
})

/** One pass `forward` of a workgroup for each row. */
export const rows = (letter: string): WebgpuOp => ({
  passes: [{ entry: 'forward', groups: ({ dims }) => dims[letter] }],
})
