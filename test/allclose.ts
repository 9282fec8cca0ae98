/** The one comparison of the suites: units in the last place, with the reason of the bound in the message. */
import { ulp } from './reference/numbers.ts'
import type { Dtype } from './reference/types.ts'

export interface Bound {
  ulp: number
  reason: string
  /** Size of the terms that were added up, per element. */
  magnitude?: ArrayLike<number>
  /** Absolute error that is allowed beside, per element. */
  extra?: ArrayLike<number>
}

/** The first element outside its bound as a sentence, or undefined. Integers must be equal; NaN only matches NaN. */
export const mismatch = (
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  dtype: Dtype,
  bound: Bound,
): string | undefined => {
  if (got.length !== expected.length) return `has ${got.length} elements, expected ${expected.length}`
  for (let i = 0; i < expected.length; i++) {
    const [g, e] = [got[i], expected[i]]
    if (g === e || (Number.isNaN(g) && Number.isNaN(e))) continue
    const integer = dtype === 'i32' || dtype === 'u8'
    const unit = integer ? 1 : ulp(Math.max(Math.abs(e), bound.magnitude?.[i] ?? 0), dtype)
    const allowed = (integer ? 0 : bound.ulp * unit) + (bound.extra?.[i] ?? 0)
    // Written so that NaN on either side fails.
    if (!(Math.abs(g - e) <= allowed)) {
      return `[${i}] is ${g}, expected ${e}: off by ${(Math.abs(g - e) / unit).toPrecision(3)} ULP, allowed ${(allowed / unit).toPrecision(3)} (${bound.reason})`
    }
  }
  return undefined
}
