/** The plan of losses on pairs; `pair_loss.wgsl` says what the passes do and has the same numbers. */
import type { WebgpuOp } from '../../lib/backends/webgpu/plan.ts'
import { blocks } from '../../lib/spec/schema.ts'

const PAIRS = 1024
const SUM_WORDS = 12

/** @param include texts before the op's own */
export const pairLoss = (include: readonly string[] = []): WebgpuOp => ({
  include: [...include, 'common/merge.wgsl', 'common/pair_loss.wgsl'],
  workspace: ({ dims }) => SUM_WORDS * blocks(dims.B, PAIRS),
  passes: [
    { entry: 'terms', groups: ({ dims }) => Math.max(1, blocks(dims.B, PAIRS)) },
    { entry: 'finish', when: ({ dims }) => dims.B > PAIRS, groups: () => 1 },
  ],
})
