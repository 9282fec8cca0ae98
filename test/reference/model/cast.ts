import type { Dtype, RandomSource, Reference, Sample, Values } from '../types.ts'
import { seeded, sizeOf, spread } from './common.ts'

/** IEEE 754-2019 table 3.5 (bf16: the upper half of binary32): significand bits and smallest normal exponent. */
const FORMATS = {
  f32: { bits: 24, minExponent: -126, maxExponent: 127 },
  bf16: { bits: 8, minExponent: -126, maxExponent: 127 },
  f16: { bits: 11, minExponent: -14, maxExponent: 15 },
} as const
type Float = keyof typeof FORMATS

/** The largest e with `2^e <= |x|`. */
function exponentOf(x: number): number {
  let exponent = 0
  while (2 ** exponent > Math.abs(x)) exponent--
  while (2 ** (exponent + 1) <= Math.abs(x)) exponent++
  return exponent
}

/** Round to nearest, ties to even; beyond the largest finite value to infinity (IEEE 754-2019, 4.3.1). */
export function roundTo(x: number, dtype: Float): number {
  if (!Number.isFinite(x) || x === 0) return x
  const { bits, minExponent, maxExponent } = FORMATS[dtype]
  const unit = 2 ** (Math.max(exponentOf(x), minExponent) - bits + 1)
  const steps = x / unit
  const below = Math.floor(steps)
  const remainder = steps - below
  const up = remainder > 0.5 || (remainder === 0.5 && below % 2 !== 0)
  const rounded = (up ? below + 1 : below) * unit
  if (Math.abs(rounded) >= 2 ** (maxExponent + 1)) return x > 0 ? Infinity : -Infinity
  // A negative value that rounds to nothing is -0.
  return rounded === 0 && x < 0 ? -0 : rounded
}

/** Where rounding is decided: ties both ways, the last finite value, the first normal, subnormals, and no numbers. */
function edgesOf(dtype: Float): number[] {
  const { bits, minExponent, maxExponent } = FORMATS[dtype]
  const step = 2 ** (1 - bits)
  const largest = 2 ** maxExponent * (2 - step)
  const tiny = 2 ** (minExponent - bits + 1)
  const positive = [
    ...[1 + step / 2, 1 + (3 * step) / 2, 1 + step * 0.499, 1 + step * 0.501, 2 - step / 2, 2 - step * 0.75],
    ...[largest, largest + (2 ** maxExponent * step) / 4, largest + (2 ** maxExponent * step) / 2],
    ...[2 ** minExponent, 2 ** minExponent - tiny / 2, tiny, tiny / 2, tiny * 0.75, tiny * 1.5, tiny * 2.5, tiny / 4],
  ]
  return [0, -0, Infinity, -Infinity, Number.NaN, ...positive, ...positive.map((x) => -x)]
}

/** Values that the element type itself can hold, as the suite would make them. */
const held = ({ data, shape }: Values, dtype: Float): Values => ({
  data: Float64Array.from(data, (x) => roundTo(x, dtype)),
  shape,
  dtype,
})

const FLOATS = Object.keys(FORMATS) as Float[]

function samples(): Sample[] {
  const random = seeded(85)
  return FLOATS.flatMap((from) =>
    FLOATS.flatMap((to): Sample[] => {
      const edges = edgesOf(to).filter((x) => !(Math.abs(x) > 3.4028235e38 && Number.isFinite(x)))
      return [
        { name: `${from} to ${to}`, inputs: { x: held(spread(random, [5, 67], 9), from) }, options: { dtype: to } },
        {
          name: `${from} to ${to}, at the edges of ${to}`,
          inputs: { x: held({ data: edges, shape: [edges.length] }, from) },
          options: { dtype: to },
        },
        {
          name: `${from} to ${to}, nothing`,
          inputs: { x: { data: [], shape: [0], dtype: from } },
          options: { dtype: to },
        },
      ]
    }),
  )
}

function random(source: RandomSource): Sample {
  const from = FLOATS[source.integer(0, 2)]
  const x = held(spread(source, [source.integer(0, 70)], 12), from)
  return { name: 'random', inputs: { x }, options: { dtype: FLOATS[source.integer(0, 2)] } }
}

/** Widening is exact; narrowing rounds to nearest, ties to even. */
export const reference: Reference = {
  samples,
  random,
  compute({ x }, options) {
    const dtype = options.dtype as Float & Dtype
    const data = new Float64Array(sizeOf(x.shape))
    for (let at = 0; at < data.length; at++) data[at] = roundTo(x.data[at], dtype)
    return { y: { data, shape: x.shape, dtype } }
  },
  tolerances: { y: { ulp: 0, reason: 'correct rounding leaves one answer' } },
}
