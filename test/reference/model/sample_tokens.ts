import type { Options, RandomSource, Reference, Sample } from '../types.ts'
import { f32, i32, lastOf, normals, seeded } from './common.ts'
import { draws } from './sampling.ts'

const DEFAULTS: Options = { temperature: 1, seed: 0, counter: 0 }

/**
 * The sample at the first counter, from the given one on, where no row is decided by the last bits of an exponential:
 * f32 moves a weight by about 1e-6 of itself, and each weight by 1 where its floor lies close.
 */
function settled(sample: Sample): Sample {
  const needed = 1e-5 + lastOf(sample.inputs.logits) / 2 ** 30
  const first = BigInt((sample.options?.counter as number | bigint) ?? 0)
  for (let counter = first; counter < first + 100n; counter++) {
    const options = { ...sample.options, counter }
    if (draws(sample.inputs, { ...DEFAULTS, ...options }).every(({ margin }) => margin > needed)) {
      return { ...sample, options }
    }
  }
  throw new Error(`'${sample.name}': no counter keeps every row away from its thresholds; choose other logits or topP`)
}

function samples(): Sample[] {
  const random = seeded(91)
  const rows = (N: number, V: number, deviation = 1) => ({ logits: normals(random, [N, V], deviation) })
  const { NaN: nan, POSITIVE_INFINITY: inf } = Number
  const all: Sample[] = [
    { name: 'one token to choose from', inputs: rows(3, 1) },
    { name: 'no rows', inputs: rows(0, 5) },
    { name: 'two tokens', inputs: rows(40, 2) },
    { name: 'narrower and wider than a vector', inputs: rows(30, 17), options: { seed: 7 } },
    { name: 'leading dimensions', inputs: { logits: normals(random, [2, 9, 33]) }, options: { seed: 1, counter: 5 } },
    { name: 'a hot temperature', inputs: rows(20, 100, 2), options: { temperature: 5, seed: 3 } },
    { name: 'a cold temperature', inputs: rows(20, 100, 2), options: { temperature: 0.1, seed: 3 } },
    {
      name: 'temperature 0 takes the first of equals',
      inputs: { logits: f32([1, 3, 3, -1, -1, -1], [2, 3]) },
      options: { temperature: 0 },
    },
    { name: 'temperature 0, awkward width', inputs: rows(5, 131), options: { temperature: 0 } },
    { name: 'topK 1', inputs: rows(4, 33), options: { topK: 1 } },
    {
      name: 'topK, equal logits stay',
      inputs: { logits: f32([2, 1, 1, 1, 0, 3, 3, 3, 3, 3], [2, 5]) },
      options: { topK: 2, seed: 9 },
    },
    { name: 'topK larger than the vocabulary', inputs: rows(10, 5), options: { topK: 50 } },
    { name: 'topP', inputs: rows(5, 60, 2), options: { topP: 0.6, seed: 4 } },
    { name: 'topP 1 keeps all', inputs: rows(4, 20), options: { topP: 1, seed: 4 } },
    { name: 'a tiny topP keeps the largest', inputs: rows(4, 20), options: { topP: 1e-6 } },
    {
      name: 'topK, topP and temperature',
      inputs: rows(5, 200, 2),
      options: { topK: 20, topP: 0.8, temperature: 0.7, seed: 2 },
    },
    {
      name: 'a seed and a counter of 64 bits',
      inputs: rows(20, 10),
      options: { seed: 0xfedcba9876543210n, counter: 0x8000000100000000n },
    },
    { name: 'streams', inputs: { ...rows(4, 10), streams: i32([5, 0, 2 ** 31 - 1, -1]) }, options: { seed: 11 } },
    { name: 'a real vocabulary', inputs: rows(3, 50257, 4), options: { seed: 12 } },
    {
      name: 'a real vocabulary with topK and topP',
      inputs: rows(2, 8003, 4),
      options: { topK: 50, topP: 0.9, seed: 13 },
    },
    { name: 'logits of 1e30', inputs: { logits: f32([1e30, -1e30, 0, -3e38, -3e38, -2.9e38], [2, 3]) } },
    {
      name: 'infinities and NaN',
      inputs: {
        logits: {
          data: [-inf, 1, 2, nan, 1, 2, -inf, -inf, -inf, 1, inf, inf, nan, inf, 0, -inf, -inf, 4],
          shape: [6, 3],
        },
      },
      options: { seed: 5 },
    },
  ]
  return all.map(settled)
}

function random(source: RandomSource): Sample {
  const options: Options = {
    temperature: source.next() < 0.2 ? 0 : 0.2 + 2 * source.next(),
    seed: source.integer(0, 2 ** 32),
    counter: source.integer(0, 2 ** 40),
    ...(source.next() < 0.5 ? { topK: source.integer(1, 20) } : {}),
    ...(source.next() < 0.5 ? { topP: 0.05 + 0.95 * source.next() } : {}),
  }
  // With fixed logits topP can lie too close to a sum whatever the counter: small rows draw new ones instead.
  for (;;) {
    const sample = {
      name: 'random',
      inputs: { logits: normals(source, [source.integer(1, 4), source.integer(1, 40)], 2) },
    }
    const drawn = draws(sample.inputs, { ...DEFAULTS, ...options })
    if (drawn.every(({ margin }) => margin > 2e-5)) return { ...sample, options }
  }
}

/** Inverse CDF over integer weights `floor(2^30 exp((x - max) / temperature))`, random bits from Philox4x32-10. */
export const reference: Reference = {
  samples,
  random,
  compute: (inputs, options) => ({
    tokens: {
      data: draws(inputs, options).map(({ token }) => token),
      shape: inputs.logits.shape.slice(0, -1),
      dtype: 'i32',
    },
  }),
  tolerances: {
    tokens: { ulp: 0, reason: 'samples keep away from thresholds that the last bits of an f32 exp could move' },
  },
}
