import type { Inputs, Options, RandomSource, Reference, Sample } from '../types.ts'
import {
  chainBound,
  f32,
  lastOf,
  normals,
  offsetsOf,
  type Sequence,
  seeded,
  sequencesOf,
  UNIT,
  u8,
  zeros,
} from './common.ts'

/** Marks about two thirds of N positions valid. */
const someValid = (random: RandomSource, shape: readonly number[], N: number) =>
  u8(
    Array.from({ length: N }, () => (random.next() < 0.67 ? random.integer(1, 255) : 0)),
    shape,
  )

export function padded(random: RandomSource, B: number, T: number, H: number, masked: boolean): Inputs {
  return {
    x: normals(random, [B, T, H]),
    ...(masked ? { valid: someValid(random, [B, T], B * T) } : {}),
  }
}

export function packed(random: RandomSource, lengths: readonly number[], H: number, masked: boolean): Inputs {
  const offsets = offsetsOf(lengths)
  const N = offsets.data[lengths.length]
  return { x: normals(random, [N, H]), offsets, ...(masked ? { valid: someValid(random, [N], N) } : {}) }
}

/** Samples of both kinds; the backward reference turns them round. */
export function samples(): Sample[] {
  const random = seeded(71)
  const none = padded(random, 2, 3, 4, false)
  // The first sequence ends at 41, the second at 577.
  const early = Array.from({ length: 1200 }, (_, n) => (n === 3 || n === 41 || n === 1177 ? 1 : 0))
  const shapes: Sample[] = [
    { name: 'one number', inputs: padded(random, 1, 1, 1, false) },
    { name: 'no sequence', inputs: padded(random, 0, 4, 3, false) },
    { name: 'sequences of no length', inputs: padded(random, 2, 0, 3, false) },
    { name: 'all positions count', inputs: padded(random, 2, 5, 17, false) },
    { name: 'some positions count', inputs: padded(random, 3, 7, 33, true) },
    { name: 'a sequence without a valid row', inputs: { ...none, valid: u8([1, 0, 1, 0, 0, 0], [2, 3]) } },
    { name: 'packed, with empty sequences', inputs: packed(random, [0, 3, 1, 0, 6], 5, true) },
    { name: 'packed, no sequence', inputs: packed(random, [], 5, false) },
    { name: 'rows of whole vectors', inputs: padded(random, 2, 19, 132, true), skipGradients: 'too many elements' },
    {
      name: 'long sequences, of which little counts',
      inputs: { ...padded(random, 2, 600, 4, false), valid: u8(early, [2, 600]) },
      skipGradients: 'too many elements',
    },
    {
      name: 'rows that cancel',
      inputs: { x: f32([1e8, 1, -1e8, 3], [1, 4, 1]) },
      skipGradients: 'steps in proportion to 1e8 drown the small rows',
    },
  ]
  return shapes.flatMap((sample) => [
    { ...sample, name: `mean: ${sample.name}` },
    { ...sample, name: `last: ${sample.name}`, options: { kind: 'last' } },
  ])
}

export function random(source: RandomSource): Sample {
  const options = { kind: source.next() < 0.5 ? 'mean' : 'last' }
  const H = source.integer(1, 9)
  const masked = source.next() < 0.7
  if (source.next() < 0.5) {
    return { name: 'random', inputs: padded(source, source.integer(0, 3), source.integer(0, 5), H, masked), options }
  }
  const lengths = Array.from({ length: source.integer(1, 4) }, () => source.integer(0, 4))
  return { name: 'random, packed', inputs: packed(source, lengths, H, masked), options }
}

/** Rows that take part in the pooled row of a sequence: the valid ones, or the last of them. */
export function pooledRows({ start, length }: Sequence, inputs: Inputs, options: Options): number[] {
  const { valid } = inputs
  const counting = Array.from({ length }, (_, t) => start + t).filter((n) => valid?.data[n] !== 0)
  return options.kind === 'last' ? counting.slice(-1) : counting
}

/** `y_b` = mean over valid t of `x_bt`, or `x_b,last`. */
export const reference: Reference = {
  samples,
  random,
  compute(inputs, options) {
    const { x, offsets } = inputs
    const H = lastOf(x)
    const all = sequencesOf(x, offsets)
    const y = zeros([all.length, H])
    all.forEach((sequence, b) => {
      const rows = pooledRows(sequence, inputs, options)
      for (const n of rows) {
        for (let h = 0; h < H; h++) y.data[b * H + h] += x.data[n * H + h] / rows.length
      }
    })
    return { y }
  },
  tolerances: {
    y: {
      ulp: 0,
      reason: 'at most one f32 rounding per valid row and one quotient; a single row is a copy',
      extra(inputs, options, { y }) {
        const H = lastOf(inputs.x)
        const all = sequencesOf(inputs.x, inputs.offsets)
        return zeros([all.length, H]).data.map((_, at) => {
          const rows = pooledRows(all[Math.floor(at / H)], inputs, options)
          if (rows.length < 2) return 0
          const sum = chainBound(rows.length, (k) => inputs.x.data[rows[k] * H + (at % H)])
          return sum / rows.length + 2 * UNIT * Math.abs(y.data[at])
        })
      },
    },
  },
  masked: { by: 'valid', inputs: ['x'], outputs: [] },
}
