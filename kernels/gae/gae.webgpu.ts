import type { WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import type { CallShape } from '../../lib/spec/schema.ts'
import { checkOffsets, chunkSlots } from '../common/sequences.webgpu.ts'

/** As in gae.wgsl: tokens of a chunk, words of a slot. */
const CHUNK = 2048
const RECORDS = 20

const slots = (call: CallShape): number => chunkSlots(call, CHUNK)
/** May a sequence have a second chunk? */
const isLong = (call: CallShape): boolean => (call.has('offsets') ? call.dims.N : call.dims.T) > CHUNK

export const gaePlan: WebgpuOp = {
  include: ['common/sequences.wgsl', 'common/ends.wgsl'],
  workspace: (call) => 1 + 2 * call.dims.B + (isLong(call) ? RECORDS * slots(call) : 0),
  passes: [
    checkOffsets,
    { entry: 'ends', when: (call) => call.has('valid'), groups: ({ dims }) => dims.B },
    { entry: 'reduce', when: isLong, groups: slots },
    { entry: 'carry', when: isLong, groups: ({ dims }) => dims.B },
    { entry: 'forward', groups: slots },
  ],
}
