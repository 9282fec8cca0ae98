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
  /** The same for all elements. */
  absolute?: number
}

/**
 * The first element outside its bound as a sentence, or undefined. Integers must be equal, NaN only matches NaN, and an
 * infinity only itself; the sign of a zero does not matter. A bound that allows anything is a mismatch too.
 */
export const mismatch = (
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  dtype: Dtype,
  bound: Bound,
): string | undefined => {
  if (got.length !== expected.length) return `has ${got.length} elements, expected ${expected.length}`
  const integer = dtype === 'i32' || dtype === 'u8'
  for (let i = 0; i < expected.length; i++) {
    const [g, e] = [got[i], expected[i]]
    if (g === e || (Number.isNaN(g) && Number.isNaN(e))) continue
    const size = Math.max(Math.abs(e), bound.magnitude?.[i] ?? 0)
    const unit = integer ? 1 : ulp(size, dtype)
    const allowed = integer ? 0 : bound.ulp * unit + (bound.extra?.[i] ?? 0) + (bound.absolute ?? 0)
    const off = Math.abs(g - e)
    if (off <= allowed && Number.isFinite(allowed) && Number.isFinite(size) && Number.isFinite(g)) continue
    const [far, near] = [off, allowed].map((error) => (error / unit).toPrecision(3))
    return `[${i}] is ${g}, expected ${e}: off by ${far} ULP, allowed ${near} (${bound.reason})`
  }
  return undefined
}
