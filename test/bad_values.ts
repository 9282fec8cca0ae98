/** Calls with values that only a kernel can see to be wrong. */
import type { Device } from '../lib/index.ts'
import { encode, guarded, guardsHold } from './encode.ts'
import type { Sample } from './reference/types.ts'
import { opOf, type Plain, type Run, rows, samplesOf } from './run_op.ts'

export interface Attempt {
  run: () => void
  results: Run
  /** Nothing around any array was written. */
  holds: () => boolean
}

/** A call whose arrays all lie between guard bytes. */
export const attempt = (name: string, sample: Sample, device: Device): Attempt => {
  const encoded = Object.entries(sample.inputs).map(([key, values]) => [key, encode(values)] as const)
  const inputs = Object.fromEntries(
    encoded.map(([key, { data, shape, dtype }]) => [key, device.tensor(data as Float32Array, shape, dtype)]),
  )
  const made = opOf(name).prepare(inputs, sample.options)
  const results: Run = {}
  for (const [key, { dtype, size }] of Object.entries(made.outputs))
    results[key] = guarded(dtype, size).fill(1) as Plain
  const out = Object.fromEntries(
    Object.entries(made.outputs).map(([key, { dtype, shape }]) => [
      key,
      device.tensor(results[key] as Float32Array, shape, dtype),
    ]),
  )
  for (const [key, { data }] of encoded) if (rows[name].inputs[key].updated === true) results[key] = data
  const arrays = [...Object.values(results), ...encoded.map(([, { data }]) => data)]
  return {
    run: () => opOf(name)(inputs, sample.options, { out }),
    results,
    holds: () => arrays.every(guardsHold),
  }
}

export const withData = (sample: Sample, key: string, data: ArrayLike<number>): Sample => ({
  ...sample,
  inputs: { ...sample.inputs, [key]: { ...sample.inputs[key], data } },
})

/** Samples in which input `key` has at least `least` elements, small ones. */
export const samplesWith = (name: string, key: string, least: number): Sample[] =>
  samplesOf(name)
    .filter(({ inputs }) => (inputs[key]?.data.length ?? 0) >= least)
    .filter(({ inputs }) => Object.values(inputs).every(({ data }) => data.length < 3000))
    .slice(0, 6)

/** Inputs whose values a kernel judges one by one, and a value that it must refuse. */
export const BAD: Readonly<Record<string, readonly number[]>> = {
  i32: [2 ** 31 - 1, -(2 ** 31)],
  f32: [Number.NaN, -1, Number.NEGATIVE_INFINITY],
}

/** Samples in which `value` stands at two places of `key`, the first of which is `first`. */
export const badPairs = (name: string, key: string) =>
  samplesWith(name, key, 2).flatMap((sample) => {
    const { data } = sample.inputs[key]
    const [first, second] = [Math.floor((data.length - 1) / 2), data.length - 1]
    return BAD[rows[name].inputs[key].dtypes?.[0] ?? 'f32'].map((value) => {
      const values = Float64Array.from(data, (x, i) => (i === first || i === second ? value : x))
      return { sample, broken: withData(sample, key, values), first, value }
    })
  })

const isRising = (values: readonly number[]): boolean => values.every((x, i) => i === 0 || x >= values[i - 1])

/** Samples whose offsets do not start at 0, fall, or do not end at N. */
export const brokenOffsets = (name: string) =>
  samplesWith(name, 'offsets', 4).flatMap((sample) => {
    const good = Array.from(sample.inputs.offsets.data)
    const last = good.length - 1
    const changed: [number, number, string][] = [
      [0, 1, 'starts at 1'],
      [0, -1, 'starts below 0'],
      [last, good[last] + 1, 'ends behind N'],
      [last, 2 ** 31 - 1, 'ends far behind N'],
      [1, good[last] + 5, 'falls'],
      [1, -5, 'is negative'],
      [2, -(2 ** 31), 'is as negative as can be'],
      ...(good[last] > 0 ? [[last, good[last] - 1, 'ends before N'] as [number, number, string]] : []),
    ]
    return changed.flatMap(([at, value, what]) => {
      const values = good.map((x, i) => (i === at ? value : x))
      if (isRising(values) && values[0] === 0 && values[last] === good[last]) return []
      return [{ sample, broken: withData(sample, 'offsets', values), values, what }]
    })
  })
