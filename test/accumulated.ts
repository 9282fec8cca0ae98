/** Gradients that are added to what is there: on every device the same demands. */
import assert from 'node:assert/strict'
import { mismatch } from './allclose.ts'
import { decode, encode } from './encode.ts'
import { seeded } from './reference/draw.ts'
import { round } from './reference/numbers.ts'
import type { Dtype, Sample } from './reference/types.ts'
import { assertSameBits, type Plain, type Run, referenceOf, rows } from './run_op.ts'

/** Element type of a result: only 16-bit ones are not told by the array. */
export const dtypeOf = (name: string, output: string, sample: Sample): Dtype => {
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

/** What the gradients `given` of a call hold beforehand. */
export const oldResults = (name: string, sample: Sample, plain: Run, given: readonly string[]): Run =>
  Object.fromEntries(given.map((key) => [key, oldValues(plain[key].length, dtypeOf(name, key, sample))]))

/**
 * `added` is `plain` with each gradient of `onto` added once, and all else as it was.
 *
 * @param absolute what the device may lose beside, because it takes subnormal numbers for 0
 */
export const assertAdded = (name: string, sample: Sample, plain: Run, onto: Run, added: Run, absolute = 0): void => {
  for (const key of Object.keys(plain)) {
    if (!(key in onto)) {
      assertSameBits({ [key]: plain[key] }, { [key]: added[key] }, 'while others add up')
      continue
    }
    const dtype = dtypeOf(name, key, sample)
    const [gradient, old, sum] = [plain[key], onto[key], added[key]].map((array) => decode(array, dtype))
    const expected = Array.from(gradient, (g, i) => g + old[i])
    const magnitude = Array.from(gradient, (g, i) => Math.max(Math.abs(g), Math.abs(old[i])))
    const bound = { ulp: 1, reason: 'the gradient and the sum are rounded at most once each', magnitude, absolute }
    assert.equal(mismatch(sum, expected, dtype, bound), undefined, key)
    assertMaskedKept(name, sample, key, old, sum)
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
