/**
 * Outputs in the place of an input, outputs that are added to, and gradients that are scaled: the same numbers as those of a
 * plain call. Knows no op by name.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertAdded, oldResults } from './accumulated.ts'
import { mismatch } from './allclose.ts'
import { assertSameBits, deviceOf, eachSample, opNames, rows, runSample } from './run_op.ts'

for (const name of opNames) {
  const spec = rows[name]
  const replacements = Object.entries(spec.outputs).flatMap(([output, { inPlaceOf = [] }]) =>
    inPlaceOf.map((input) => [output, input] as const),
  )
  for (const [output, input] of replacements) {
    test(`${name}: ${output} in the place of ${input} has the bits of one in memory of its own`, async () => {
      const device = await deviceOf()
      const crowd = await deviceOf(undefined, 3, 1)
      let ran = 0
      await eachSample(name, (sample) => {
        if (sample.inputs[input] === undefined) return
        const apart = runSample(name, sample, device)
        if (apart[output] === undefined) return
        assertSameBits(apart, runSample(name, sample, device, { inPlace: [output, input] }), 'in place')
        assertSameBits(apart, runSample(name, sample, crowd, { inPlace: [output, input] }), 'in place on three threads')
        ran++
      })
      assert.ok(ran > 0, `no sample of ${name} gives ${input} and ${output}`)
    })
  }

  const gradients = Object.keys(spec.outputs).filter((output) => spec.outputs[output].gradient === true)
  if (gradients.length > 0) {
    test(`${name}: accumulate adds each gradient once to what is there`, async () => {
      const device = await deviceOf()
      await eachSample(name, (sample) => {
        const plain = runSample(name, sample, device)
        const given = gradients.filter((key) => plain[key] !== undefined)
        if (given.length === 0) return
        const onto = oldResults(name, sample, plain, given)
        assertAdded(name, sample, plain, onto, runSample(name, sample, device, { onto }))
      })
    })
  }

  if (spec.options.gradScale !== undefined && gradients.length > 0) {
    test(`${name}: gradScale multiplies the gradients and nothing else`, async () => {
      const device = await deviceOf()
      await eachSample(name, (sample) => {
        const gradScale = Number(sample.options?.gradScale ?? 1)
        const [once, twice] = [gradScale, -2 * gradScale].map((scale) =>
          runSample(name, sample, device, { options: { gradScale: scale } }),
        )
        for (const key of Object.keys(once)) {
          if (!gradients.includes(key)) assertSameBits({ [key]: once[key] }, { [key]: twice[key] }, 'with gradScale')
          else {
            // Doubling is exact but at the ends of f32's range.
            const doubled = Array.from(once[key], (g) => Math.fround(-2 * g))
            const bound = { ulp: 1, reason: 'below the normal range doubling is not exact' }
            const exact = { ulp: 0, reason: 'a power of two' }
            const tiny = once[key].some((g) => g !== 0 && Math.abs(g) < 2 ** -125)
            assert.equal(mismatch(twice[key], doubled, 'f32', tiny ? bound : exact), undefined, key)
          }
        }
      })
    })
  }
}
