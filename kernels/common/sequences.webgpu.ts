/** What plans of ops on sequences share; `sequences.wgsl` has the same numbers. */
import type { WebgpuPass } from '../../lib/backends/webgpu/plan.ts'
import { blocks, type CallShape } from '../../lib/spec/schema.ts'

/** The first pass of a call with offsets; word 0 of the workspace is its result. */
export const checkOffsets: WebgpuPass = {
  entry: 'check_offsets',
  when: (call) => call.has('offsets'),
  groups: () => 1,
}

/** Slots of chunks of `size` tokens: with packed lengths unknown, enough for any. */
export const chunkSlots = (call: CallShape, size: number): number => {
  const { N, B, T } = call.dims
  return call.has('offsets') ? blocks(N, size) + B : B * blocks(T, size)
}
