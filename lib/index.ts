/**
 * prefgrad: RLHF kernels and a thin training loop for Node.js.
 *
 * Every op is called as `op(inputs, options?, { out? })`; inputs are tensors or typed arrays, outputs are named tensors. Losses
 * return value and gradients in one call. See the op table in the README, and the rows in `lib/spec/` for shapes and ranges.
 *
 * @module
 */
export type { Backend } from './backend.ts'
export { Device } from './device.ts'
export type { Dtype } from './dtype.ts'
export { type ErrorCode, type ErrorDetails, PrefgradError } from './errors.ts'
export type { Op, PreparedCall } from './op.ts'
export { type DeviceName, type DeviceOptions, type Inspection, inspect, openDevice } from './open.ts'
export * from './ops.ts'
export { type Preset, type PresetName, preset } from './presets.ts'
export { type Sequence, sequence } from './sequence.ts'
export { type OpName, type OpTable, table } from './spec/index.ts'
export { mergeStats, readStats, statsOf } from './stats.ts'
export { Tensor } from './tensor.ts'
export type { InputsOf, OptionsOf, OutputsOf, TensorLike } from './types.ts'
