/** The calls of device_calls.ts, of every op that has CUDA kernels. */
import { loadAddon } from '../lib/backends/native.ts'
import { cudaDevice, cudaDevices } from './cuda_world.ts'
import { testCalls } from './device_calls.ts'

const names = loadAddon().cuda.ops.map(({ op }) => op)
for (const kind of await cudaDevices()) testCalls(kind, names, () => cudaDevice(kind), 0)
