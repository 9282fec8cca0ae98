import type { Inputs, RandomSource, Sample, Values } from '../types.ts'
import { f32, i32, normals, offsetsOf, seeded } from './common.ts'

interface Shape {
  heads: number
  keyValueHeads: number
  size: number
}

const projections = (
  random: RandomSource,
  leading: readonly number[],
  { heads, keyValueHeads, size }: Shape,
): Inputs => ({
  query: normals(random, [...leading, heads * size]),
  key: normals(random, [...leading, keyValueHeads * size]),
  value: normals(random, [...leading, keyValueHeads * size]),
})

const optionsOf = ({ heads, keyValueHeads }: Shape) => ({ heads, keyValueHeads })

function padded(random: RandomSource, name: string, B: number, T: number, shape: Shape): Sample {
  return { name, inputs: projections(random, [B, T], shape), options: optionsOf(shape) }
}

function packed(random: RandomSource, name: string, lengths: readonly number[], shape: Shape): Sample {
  const offsets = offsetsOf(lengths)
  const N = offsets.data[lengths.length]
  return { name, inputs: { ...projections(random, [N], shape), offsets }, options: optionsOf(shape) }
}

/** Calls for training: keys laid out as queries. */
export function trainingSamples(): Sample[] {
  const random = seeded(61)
  const single = { heads: 1, keyValueHeads: 1, size: 2 }
  const long = { heads: 2, keyValueHeads: 1, size: 16 }
  const tooMany = 'too many elements for central differences; the small samples run the same lines'
  const extreme = scaled(padded(random, 'scores of a few hundred', 1, 6, { heads: 2, keyValueHeads: 1, size: 8 }), 12)
  return [
    padded(random, 'one token', 1, 1, single),
    padded(random, 'every head has its own keys', 2, 5, { heads: 2, keyValueHeads: 2, size: 4 }),
    padded(random, 'grouped queries', 2, 4, { heads: 4, keyValueHeads: 2, size: 6 }),
    padded(random, 'one key head for six', 1, 3, { heads: 6, keyValueHeads: 1, size: 8 }),
    { ...padded(random, 'a long sequence', 1, 67, long), skipGradients: tooMany },
    { ...padded(random, 'more than two blocks of keys', 1, 131, { ...single, heads: 2 }), skipGradients: tooMany },
    { ...padded(random, 'heads of 64', 1, 33, { heads: 2, keyValueHeads: 2, size: 64 }), skipGradients: tooMany },
    { ...padded(random, 'half a head of 17', 1, 5, { heads: 1, keyValueHeads: 1, size: 34 }) },
    packed(random, 'packed, sequences of no length between', [0, 3, 0, 5, 1, 0], {
      heads: 2,
      keyValueHeads: 1,
      size: 4,
    }),
    packed(random, 'packed, nothing in it', [0, 0], single),
    packed(random, 'packed, no sequence', [], single),
    padded(random, 'no sequence', 0, 4, single),
    padded(random, 'sequences of no length', 3, 0, single),
    withOptions(padded(random, 'another base', 1, 5, { heads: 1, keyValueHeads: 1, size: 8 }), { base: 500000 }),
    { ...extreme, skipGradients: 'a softmax this steep turns within the step of a central difference' },
    { ...padded(random, 'one key head for forty', 1, 3, { ...single, heads: 40 }), skipGradients: tooMany },
    { ...padded(random, 'heads of 260', 2, 3, { heads: 2, keyValueHeads: 1, size: 260 }), skipGradients: tooMany },
  ]
}

/** Calls for generation: a cache longer than the queries, and keys that are rotated already. */
export function cachedSamples(): Sample[] {
  const random = seeded(62)
  const shape = { heads: 4, keyValueHeads: 2, size: 6 }
  const once = withOptions(padded(random, 'rotated keys laid out as queries', 2, 5, shape), { keysRotated: true })
  return [
    cached(random, 'decoding one token each, rows of very different fill', [1, 9, 4], 1, 9, shape, true),
    cached(random, 'several queries at the end of a cache', [4, 11], 4, 11, shape, false),
    cached(random, 'a cache of more than one block', [67, 70], 2, 80, { heads: 2, keyValueHeads: 1, size: 16 }, true),
    cached(random, 'a prompt that fills its part of the cache', [3, 3], 3, 8, shape, true),
    once,
  ]
}

export function randomTraining(random: RandomSource): Sample {
  const keyValueHeads = random.integer(1, 2)
  const shape = { heads: keyValueHeads * random.integer(1, 2), keyValueHeads, size: 2 * random.integer(1, 3) }
  if (random.next() < 0.5) return padded(random, 'random', random.integer(1, 2), random.integer(1, 5), shape)
  const lengths = Array.from({ length: random.integer(1, 3) }, () => random.integer(0, 4))
  return packed(random, 'random, packed', lengths, shape)
}

export function randomForward(random: RandomSource): Sample {
  if (random.next() < 0.5) return randomTraining(random)
  const [B, T, S] = [random.integer(1, 3), random.integer(1, 3), random.integer(3, 7)]
  const lengths = Array.from({ length: B }, () => random.integer(T, S))
  const shape = { heads: 2, keyValueHeads: random.integer(1, 2), size: 2 * random.integer(1, 3) }
  return cached(random, 'random, cached', lengths, T, S, shape, random.next() < 0.5)
}

/** A cache [B, S, C] whose rows beyond the key lengths hold NaN: nobody may read them. */
function cached(
  random: RandomSource,
  name: string,
  lengths: readonly number[],
  T: number,
  S: number,
  shape: Shape,
  keysRotated: boolean,
): Sample {
  const B = lengths.length
  const C = shape.keyValueHeads * shape.size
  const filled = (): Values => {
    const cache = normals(random, [B, S, C])
    const data = Float32Array.from(cache.data, (x, at) =>
      Math.floor(at / C) % S < lengths[Math.floor(at / (S * C))] ? x : Number.NaN,
    )
    return { ...cache, data }
  }
  return {
    name,
    inputs: {
      query: normals(random, [B, T, shape.heads * shape.size]),
      key: filled(),
      value: filled(),
      keyLengths: i32(lengths),
    },
    options: { ...optionsOf(shape), keysRotated },
  }
}

const withOptions = (sample: Sample, options: Sample['options']): Sample => ({
  ...sample,
  options: { ...sample.options, ...options },
})

/** Queries and keys times `factor`, and values of about 1e25. */
function scaled(sample: Sample, factor: number): Sample {
  const times = ({ data, shape }: Values, by: number): Values =>
    f32(
      Array.from(data, (x) => x * by),
      shape,
    )
  const { query, key, value } = sample.inputs
  return { ...sample, inputs: { query: times(query, factor), key: times(key, factor), value: times(value, 1e25) } }
}
