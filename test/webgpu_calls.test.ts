/** The calls of device_calls.ts, of every op that has WGSL kernels. */
import { plans } from '../kernels/plans.ts'
import { testCalls } from './device_calls.ts'
import { adapters, variants, webgpuDevice } from './webgpu_world.ts'

const [options] = Object.values(variants)

/** WGSL may take subnormal numbers for 0. */
const SUBNORMAL = 2 ** -125

for (const { name, open } of adapters) {
  testCalls(name, Object.keys(plans), async () => webgpuDevice(name, await open(), options), SUBNORMAL)
}
