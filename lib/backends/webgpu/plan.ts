/** What an op says of its WGSL kernels: `kernels/<op>/<op>.webgpu.ts` beside `<op>.wgsl`. Sizes and settings decide, never data. */
import type { CallShape } from '../../spec/schema.ts'

/** One dispatch. Its tensors need not be named: what an entry point touches is found in its text. */
export interface WebgpuPass {
  /** The `@compute` function, of 256 invocations per workgroup unless its attribute says otherwise. */
  entry: string
  when?: (call: CallShape) => boolean
  /** Workgroups (call `call.has(...)`, do not take it apart); above 65,535 they come as a grid, and `group_of` numbers them through. Kernels check their own bounds. */
  groups: (call: CallShape) => number
}

export interface WebgpuOp {
  /** Texts under `kernels/` that stand before the op's own: `common/sequences.wgsl`. */
  include?: readonly string[]
  /** 4-byte words of scratch that the passes share; it holds anything at the start. */
  workspace?: (call: CallShape) => number
  passes: readonly WebgpuPass[]
}

/** Invocations in a workgroup. */
export const LANES = 256
