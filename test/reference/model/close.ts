/** How the worked tests compare numbers that were rounded to f32. */
import assert from 'node:assert/strict'

/** Element by element, within `tolerance` of the larger of 1 and the expected size; the default is about 16 roundings. */
export function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-6): void {
  assert.equal(actual.length, expected.length, 'number of elements')
  for (let at = 0; at < expected.length; at++) {
    const allowed = tolerance * Math.max(1, Math.abs(expected[at]))
    assert.ok(
      Math.abs(actual[at] - expected[at]) <= allowed,
      `element ${at} is ${actual[at]} and should be ${expected[at]} within ${allowed}`,
    )
  }
}

/** Sum of products, in float64. */
export const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0
  for (let at = 0; at < a.length; at++) sum += a[at] * b[at]
  return sum
}
