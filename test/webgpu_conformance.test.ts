/**
 * Every op that has WGSL kernels on every software adapter of this machine, against its float64 reference. Knows no op by name.
 */
import { test } from 'node:test'
import { plans } from '../kernels/plans.ts'
import { assertMaskedOutputs, assertNear, poisoned } from './conformance.ts'
import { runOn } from './run_on.ts'
import { assertSameBits, eachSample, referenceOf, rows, withDefaults } from './run_op.ts'
import { adapters, variants, webgpuDevice } from './webgpu_world.ts'

for (const { name: adapter, open } of adapters) {
  for (const [variant, options] of Object.entries(variants)) {
    for (const name of Object.keys(plans)) {
      test(`${name} on ${adapter} (${variant}) gives what its reference gives, in the same bits every time`, async () => {
        const device = await webgpuDevice(adapter, await open(), options)
        await eachSample(name, async (sample) => {
          const expected = referenceOf(name).compute(sample.inputs, withDefaults(rows[name], sample.options))
          const got = await runOn(device, name, sample)
          assertNear(name, sample, got, expected, 'webgpu')
          assertSameBits(got, await runOn(device, name, sample), 'when run again')
          const { masked } = referenceOf(name)
          if (masked === undefined || sample.inputs[masked.by] === undefined) return
          assertMaskedOutputs(name, sample, got)
          const bad = await runOn(device, name, poisoned(sample, masked.by, masked.inputs))
          assertSameBits(got, bad, 'when what does not count is NaN')
        })
      })
    }
  }
}
