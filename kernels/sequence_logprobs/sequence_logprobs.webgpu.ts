import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks, type CallShape } from '../../lib/spec/schema.ts'
import { checkOffsets, chunkSlots } from '../common/sequences.webgpu.ts'

const include = ['common/sequences.wgsl']

/** Tokens of a chunk, and the words of what it leaves; the .wgsl files have the same. */
const TOKENS = 4096
const PART_WORDS = 5

const slots = (call: CallShape): number => chunkSlots(call, TOKENS)
const areLong = (call: CallShape): boolean => (call.has('offsets') ? call.dims.N : call.dims.T) > TOKENS

export const sequenceLogprobsPlan: WebgpuOp = {
  include,
  workspace: (call) => 1 + (areLong(call) ? PART_WORDS * slots(call) : 0),
  passes: [
    checkOffsets,
    { entry: 'whole', when: (call) => !areLong(call), groups: ({ dims }) => dims.B },
    { entry: 'parts', when: areLong, groups: slots },
    { entry: 'finish', when: areLong, groups: ({ dims }) => blocks(dims.B, LANES) },
  ],
}

export const sequenceLogprobsBackwardPlan: WebgpuOp = {
  include,
  workspace: (call) => 1 + slots(call),
  passes: [
    checkOffsets,
    { entry: 'counts', when: (call) => call.options.reduce === 'mean' && call.has('valid'), groups: slots },
    { entry: 'forward', groups: slots },
  ],
}
