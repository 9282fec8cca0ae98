/** The plan of losses on tokens; `token_loss.wgsl` says what the passes do and has the same numbers. */
import type { WebgpuOp, WebgpuPass } from '../../lib/backends/webgpu/plan.ts'
import type { CallShape } from '../../lib/spec/schema.ts'
import { checkOffsets, chunkSlots } from './sequences.webgpu.ts'

const TOKENS = 2048
const HEADER = 8
const RECORD = 24

export const tokenSlots = (call: CallShape): number => chunkSlots(call, TOKENS)

const areLong = (call: CallShape): boolean => (call.has('offsets') ? call.dims.N : call.dims.T) > TOKENS

/**
 * @param include texts before the op's own
 * @param before passes of the op's own between `coefficients` and `terms`
 */
export const tokenLoss = (include: readonly string[] = [], before: readonly WebgpuPass[] = []): WebgpuOp => ({
  include: ['common/sequences.wgsl', ...include, 'common/merge.wgsl', 'common/token_loss.wgsl'],
  workspace: (call) => HEADER + RECORD * (call.dims.B + tokenSlots(call)),
  passes: [
    checkOffsets,
    { entry: 'count_tokens', when: (call) => call.has('valid'), groups: tokenSlots },
    { entry: 'coefficients', when: (call) => call.has('valid') || call.has('offsets'), groups: () => 1 },
    ...before,
    { entry: 'terms', groups: tokenSlots },
    { entry: 'sequences', when: areLong, groups: ({ dims }) => dims.B },
    { entry: 'finish', groups: () => 1 },
  ],
})
