/**
 * Every op on every CUDA device that is here, against its float64 reference: the emulator under several schedules with the same
 * bits under each, and a GPU where there is one. Knows no op by name.
 */
import { test } from 'node:test'
import { loadAddon } from '../lib/backends/native.ts'
import { assertMaskedOutputs, assertNear, poisoned } from './conformance.ts'
import { cudaDevice, cudaDevices, SCHEDULES, withSchedule } from './cuda_world.ts'
import { runOn } from './run_on.ts'
import { assertSameBits, eachSample, referenceOf, rows, withDefaults } from './run_op.ts'

for (const kind of await cudaDevices()) {
  for (const { op: name } of loadAddon().cuda.ops) {
    test(`${name} on ${kind} gives what its reference gives, in the same bits every time`, async () => {
      const device = await cudaDevice(kind)
      const [first, ...others] = kind === 'cuda' ? ['', ''] : SCHEDULES
      await eachSample(name, async (sample) => {
        const expected = referenceOf(name).compute(sample.inputs, withDefaults(rows[name], sample.options))
        const got = await withSchedule(first, () => runOn(device, name, sample))
        assertNear(name, sample, got, expected, 'cuda')
        for (const schedule of others) {
          assertSameBits(
            got,
            await withSchedule(schedule, () => runOn(device, name, sample)),
            `on schedule ${schedule}`,
          )
        }
        const aligned = await withSchedule(first, () => runOn(device, name, sample, { place: 'aligned' }))
        assertSameBits(got, aligned, 'where vectors may begin')
        const { masked } = referenceOf(name)
        if (masked === undefined || sample.inputs[masked.by] === undefined) return
        assertMaskedOutputs(name, sample, got)
        const bad = await withSchedule(first, () => runOn(device, name, poisoned(sample, masked.by, masked.inputs)))
        assertSameBits(got, bad, 'when what does not count is NaN')
      })
    })
  }
}
