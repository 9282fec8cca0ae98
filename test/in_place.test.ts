/**
 * Outputs in the place of an input, outputs that are added to, and gradients that are scaled: the same numbers as those of a
 * plain call. Knows no op by name.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mismatch } from './allclose.ts'
import { decode, encode } from './encode.ts'
import { seeded } from './reference/draw.ts'
import { round } from './reference/numbers.ts'
import type { Dtype, Sample } from './reference/types.ts'
import {
  assertSameBits,
  deviceOf,
  eachSample,
  opNames,
  type Plain,
  type Run,
  referenceOf,
  rows,
  runSample,
} from './run_op.ts'

/** Element type of a result: only 16-bit ones are not told by the array. */
const dtypeOf = (name: string, output: string, sample: Sample): Dtype => {
  const { dtype = 'f32' } = rows[name].outputs[output]
  if (typeof dtype === 'string') return dtype
  return ('as' in dtype ? sample.inputs[dtype.as].dtype : (sample.options?.[dtype.option] as Dtype)) ?? 'f32'
}

/** Numbers of many sizes, none of them 0. */
const oldValues = (length: number, dtype: Dtype): Plain => {
  const random = seeded(77)
  const data = Array.from({ length }, () => round(random.normal() * 10 ** random.integer(-3, 1), dtype))
  return encode({ data, shape: [length], dtype }).data
}

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
        const onto: Run = {}
        for (const key of given) onto[key] = oldValues(plain[key].length, dtypeOf(name, key, sample))
        const added = runSample(name, sample, device, { onto })
        for (const key of Object.keys(plain)) {
          if (!given.includes(key)) assertSameBits({ [key]: plain[key] }, { [key]: added[key] }, 'while others add up')
        }
        for (const key of given) {
          const dtype = dtypeOf(name, key, sample)
          const [gradient, old, sum] = [plain[key], onto[key], added[key]].map((array) => decode(array, dtype))
          const expected = Array.from(gradient, (g, i) => g + old[i])
          const size = Array.from(gradient, (g, i) => Math.max(Math.abs(g), Math.abs(old[i])))
          const bound = { ulp: 1, reason: 'the gradient and the sum are rounded at most once each', magnitude: size }
          assert.equal(mismatch(sum, expected, dtype, bound), undefined, key)
          assertMaskedKept(name, sample, key, old, sum)
        }
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

/** Where nothing counts there is nothing to add. */
function assertMaskedKept(
  name: string,
  sample: Sample,
  key: string,
  old: ArrayLike<number>,
  sum: ArrayLike<number>,
): void {
  const { masked } = referenceOf(name)
  const mask = masked === undefined ? undefined : sample.inputs[masked.by]?.data
  if (mask === undefined || !masked!.outputs.includes(key)) return
  const width = sum.length / Math.max(1, mask.length)
  for (let i = 0; i < sum.length; i++) {
    if (mask[Math.floor(i / width)] === 0) assert.equal(sum[i], old[i], `${key}[${i}] does not count`)
  }
}
