import { LANES, type WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks, type CallShape } from '../../lib/spec/schema.ts'
import { narrowGroups } from '../common/narrow_rows.webgpu.ts'

const include = ['token_logprobs/logits.wgsl']

/** Logits that one workgroup adds up, and the words of what it leaves; token_logprobs.wgsl has the same. */
const PART = 16384
const PART_WORDS = 4

/** Few long rows would not fill a GPU: they are cut. Where, does not depend on how many there are. */
const isCut = ({ dims }: CallShape): boolean => dims.V > PART
/** Short rows share a workgroup: an invocation has at most 64 logits, and the bits of a row are its own. */
const NARROW = 2048
const isNarrow = ({ dims }: CallShape): boolean => dims.V <= NARROW
const parts = ({ dims }: CallShape): number => dims.N * blocks(dims.V, PART)

export const tokenLogprobsPlan: WebgpuOp = {
  include: [...include, 'common/narrow_rows.wgsl'],
  workspace: (call) => (isCut(call) ? PART_WORDS * parts(call) : 0),
  passes: [
    { entry: 'narrow', when: isNarrow, groups: ({ dims }) => narrowGroups(dims.N) },
    { entry: 'rows', when: (call) => !isNarrow(call) && !isCut(call), groups: ({ dims }) => dims.N },
    { entry: 'parts', when: isCut, groups: parts },
    { entry: 'finish', when: isCut, groups: ({ dims }) => blocks(dims.N, LANES) },
  ],
}

/** Words of the gradient that one workgroup writes, and what is kept of a row; token_logprobs_backward.wgsl has the same. */
const BLOCK = 4096
const ROW_WORDS = 6

export const tokenLogprobsBackwardPlan: WebgpuOp = {
  include,
  workspace: ({ dims }) => ROW_WORDS * dims.N,
  passes: [
    // First what needs the token's logit: `entries` may write over it.
    { entry: 'prepare', groups: ({ dims }) => blocks(dims.N, LANES) },
    {
      entry: 'entries',
      groups: (call) => call.dims.N * blocks(blocks(call.dims.V, 4 / call.elementBytes('logits')) + 1, BLOCK),
    },
  ],
}
