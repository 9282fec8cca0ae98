/**
 * Every op of the table on every instruction set against its float64 reference. Knows no op by name: what to try and how near
 * the answer must be comes from test/reference.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as library from '../lib/index.ts'
import { type Device, openDevice, PrefgradError, table } from '../lib/index.ts'
import type { OpSpec } from '../lib/spec/schema.ts'
import type { Tensor } from '../lib/tensor.ts'
import { mismatch } from './allclose.ts'
import { decode, encode, guarded, guardsHold, rounded } from './encode.ts'
import { seeded } from './reference/draw.ts'
import { references } from './reference/index.ts'
import type { Dtype, Options, Sample, Values } from './reference/types.ts'

type Call = (inputs: object, options: object | undefined, settings: { out?: object }) => Record<string, Tensor>
const rows = table as unknown as Record<string, OpSpec>
const ops = library as unknown as Record<string, Call>

const ISAS = await (async () => (await library.inspect()).cpu!.isas)()
const devices = new Map<string, Device>()
const deviceOf = async (isa: string, threads: number): Promise<Device> => {
  const key = `${isa}/${threads}`
  if (!devices.has(key)) devices.set(key, await openDevice('cpu', { isa, threads }))
  return devices.get(key)!
}

const withDefaults = (spec: OpSpec, options: Options = {}): Options => ({
  ...Object.fromEntries(
    Object.entries(spec.options).flatMap(([name, option]) =>
      option.default === undefined ? [] : [[name, option.default]],
    ),
  ),
  ...options,
})

/** The op's input with a choice of element types. */
const typedInput = (spec: OpSpec) => Object.entries(spec.inputs).find(([, input]) => (input.dtypes?.length ?? 1) > 1)

const given = new Map<string, boolean>()
/** Whether a reference has samples of several element types of its own. */
const givesTypes = (name: string, input: string): boolean => {
  if (!given.has(name)) {
    const dtypes = references[name].samples().map((sample) => sample.inputs[input].dtype ?? 'f32')
    given.set(name, new Set(dtypes).size > 1)
  }
  return given.get(name)!
}

/** The sample once per element type of the op's typed input, unless the reference gives samples of every type itself. */
const variants = (op: string, spec: OpSpec, sample: Sample): Sample[] => {
  const typed = typedInput(spec)
  if (typed === undefined || givesTypes(op, typed[0])) return [sample]
  const [name, { dtypes }] = typed
  return dtypes!.map((dtype) => ({
    ...sample,
    name: `${sample.name}, ${dtype}`,
    inputs: { ...sample.inputs, [name]: { ...sample.inputs[name], dtype } },
  }))
}

interface Ran {
  /** Every output, and every input that the op updates, by name. */
  results: Record<string, ArrayLike<number> & { buffer: ArrayBuffer; byteOffset: number; byteLength: number }>
  dtypes: Record<string, Dtype>
}

/** Runs a sample on a device, outputs inside guard bytes and filled with NaN bits beforehand. */
const run = (name: string, sample: Sample, device: Device, expected: Record<string, Values>): Ran => {
  const spec = rows[name]
  const encoded = Object.fromEntries(Object.entries(sample.inputs).map(([key, values]) => [key, encode(values)]))
  const before = Object.fromEntries(Object.entries(encoded).map(([key, { data }]) => [key, data.slice()]))
  const inputs = Object.fromEntries(
    Object.entries(encoded).map(([key, { data, shape, dtype }]) => [
      key,
      device.tensor(data as Float32Array, shape, dtype),
    ]),
  )
  const out: Record<string, Tensor> = {}
  const arrays: Record<string, ReturnType<typeof guarded>> = {}
  for (const [key, values] of Object.entries(expected)) {
    if (!(key in spec.outputs)) continue
    const dtype = values.dtype ?? 'f32'
    const array = guarded(dtype, values.data.length)
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).fill(0xff)
    arrays[key] = array
    out[key] = device.tensor(array as Float32Array, values.shape, dtype) as unknown as Tensor
  }
  ops[name](inputs, sample.options, { out })
  for (const [key, array] of Object.entries(arrays))
    assert.ok(guardsHold(array), `${key}: bytes around the output changed`)
  const results = { ...arrays } as unknown as Ran['results']
  const dtypes = Object.fromEntries(Object.entries(expected).map(([key, values]) => [key, values.dtype ?? 'f32']))
  for (const [key, { data }] of Object.entries(encoded)) {
    assert.ok(guardsHold(data), `${key}: bytes around the input changed`)
    if (spec.inputs[key].updated === true) {
      results[key] = data as unknown as Ran['results'][string]
      dtypes[key] ??= 'f32'
    } else {
      assert.deepEqual(new Uint8Array(data.slice().buffer), new Uint8Array(before[key].buffer), `${key} was changed`)
    }
  }
  return { results, dtypes }
}

const bitsOf = (array: { buffer: ArrayBuffer; byteOffset: number; byteLength: number }): Buffer =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength)

const assertSameBits = (a: Ran, b: Ran, what: string): void => {
  for (const key of Object.keys(a.results)) {
    assert.ok(bitsOf(a.results[key]).equals(bitsOf(b.results[key])), `${key}: other bits ${what}`)
  }
}

/** Fills what must not matter: inputs where `by` is 0. */
const poisoned = (sample: Sample, by: string, names: readonly string[]): Sample => {
  const mask = sample.inputs[by].data
  const inputs = { ...sample.inputs }
  for (const name of names) {
    const values = inputs[name]
    if (values === undefined) continue
    const width = values.data.length / Math.max(1, mask.length)
    const bad = values.dtype === 'i32' ? 2 ** 30 : values.dtype === 'u8' ? 1 : Number.NaN
    inputs[name] = {
      ...values,
      data: Float64Array.from(values.data, (x, i) => (mask[Math.floor(i / width)] === 0 ? bad : x)),
    }
  }
  return { ...sample, inputs }
}

const check = async (name: string, original: Sample): Promise<void> => {
  const reference = references[name]
  const spec = rows[name]
  for (const variant of variants(name, spec, original)) {
    const sample = {
      ...variant,
      inputs: Object.fromEntries(Object.entries(variant.inputs).map(([key, values]) => [key, rounded(values)])),
    }
    const options = withDefaults(spec, sample.options)
    const expected = reference.compute(sample.inputs, options)
    const seen = new Map<string, Ran>()
    for (const isa of ISAS) {
      const where = `${name}, ${sample.name}, ${isa}`
      const ran = run(name, sample, await deviceOf(isa, 1), expected)
      for (const [key, values] of Object.entries(expected)) {
        const { ulp, reason, magnitude, extra } = reference.tolerances[key]
        const problem = mismatch(decode(ran.results[key], ran.dtypes[key]), values.data, ran.dtypes[key], {
          ulp,
          reason,
          magnitude: magnitude?.(sample.inputs, options, expected),
          extra: extra?.(sample.inputs, options, expected),
        })
        assert.equal(problem, undefined, `${where}: ${key}${problem}`)
      }
      assertSameBits(ran, run(name, sample, await deviceOf(isa, 1), expected), `${where}: run again`)
      assertSameBits(ran, run(name, sample, await deviceOf(isa, 2), expected), `${where}: with two threads`)
      const { masked } = reference
      if (masked !== undefined && sample.inputs[masked.by] !== undefined) {
        const clean = run(name, poisoned(sample, masked.by, masked.inputs), await deviceOf(isa, 1), expected)
        assertSameBits(ran, clean, `${where}: where nothing counts`)
      }
      seen.set(isa, ran)
    }
    const [wide, narrow] = [seen.get('avx512'), seen.get('avx2')]
    if (wide !== undefined && narrow !== undefined)
      assertSameBits(wide, narrow, `${name}, ${sample.name}: on AVX2 and AVX-512`)
  }
}

for (const name of Object.keys(table)) {
  test(`${name} gives what its reference gives, in the same bits every time`, async () => {
    assert.ok(name in references, `${name} has no reference in test/reference`)
    const samples = references[name].samples()
    const typed = typedInput(rows[name])
    if (typed !== undefined && givesTypes(name, typed[0])) {
      const seen = new Set(samples.map((sample) => sample.inputs[typed[0]].dtype ?? 'f32'))
      assert.deepEqual([...seen].sort(), [...typed[1].dtypes!].sort(), `${name} has samples of every element type`)
    }
    for (const sample of samples) {
      try {
        await check(name, sample)
      } catch (error) {
        if (error instanceof PrefgradError) assert.fail(`${name}, ${sample.name}: ${error.message}`)
        throw error
      }
    }
  })

  test(`${name} gives what its reference gives on random cases`, async () => {
    const seed = Number(process.env.PREFGRAD_SEED ?? 20261121)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (draw) =>
        check(name, references[name].random(seeded(draw))),
      ),
      { seed, numRuns: Number(process.env.PREFGRAD_RUNS ?? 40) },
    )
  })
}
