/** What the suites that know no op by name share: every op's samples as calls of the public API. */
import assert from 'node:assert/strict'
import * as library from '../lib/index.ts'
import { type Device, openDevice, table } from '../lib/index.ts'
import type { OpSpec } from '../lib/spec/schema.ts'
import type { Tensor } from '../lib/tensor.ts'
import { encode, guarded, guardsHold, rounded } from './encode.ts'
import { references } from './reference/index.ts'
import type { Dtype, Options, Reference, Sample } from './reference/types.ts'

export type Plain = Float32Array | Int32Array | Uint8Array | Uint16Array
export type Tensors = Record<string, Tensor>
export type Run = Record<string, Plain>
type Prepared = { run(): Tensors; set(options: object): void; dispose(): void; outputs: Tensors }
export interface AnyOp {
  (inputs: object, options?: object, settings?: object): Tensors
  prepare(inputs: object, options?: object, settings?: object): Prepared
}

export const rows = table as unknown as Readonly<Record<string, OpSpec>>
export const opNames: readonly string[] = Object.keys(table)
export const opOf = (name: string): AnyOp => (library as unknown as Record<string, AnyOp>)[name]

export const referenceOf = (name: string): Reference => {
  assert.ok(name in references, `${name} has no reference in test/reference`)
  return references[name]
}

/** The instruction sets of this machine, best first. */
export const isas: readonly string[] = (await library.inspect()).cpu!.isas

const devices = new Map<string, Promise<Device>>()

/** A device, opened once. With `grain` 1 even the smallest call is split among its threads. */
export const deviceOf = (isa: string = isas[0], threads = 1, grain?: number): Promise<Device> => {
  const key = `${isa}/${threads}/${grain}`
  if (!devices.has(key))
    devices.set(key, openDevice('cpu', { isa, threads, ...(grain === undefined ? {} : { grain }) }))
  return devices.get(key)!
}

/** Options as the references want them: every default filled in. */
export const withDefaults = (spec: OpSpec, options: Options = {}): Options => ({
  ...Object.fromEntries(
    Object.entries(spec.options).flatMap(([name, option]) =>
      option.default === undefined ? [] : [[name, option.default]],
    ),
  ),
  ...options,
})

/** Other values for the dynamic options that a call has. */
export const otherSettings = (name: string, options: Readonly<Record<string, unknown>> = {}): Record<string, number> =>
  Object.fromEntries(
    Object.entries(rows[name].options).flatMap(([key, option]) => {
      const value = options[key] ?? option.default
      if (option.dynamic !== true || value === undefined) return []
      return [[key, option.type === 'number' ? Number(value) / 2 + 0.125 : Number(value) + 3]]
    }),
  )

/** Values that both sides see: rounded to their element type. */
export const roundedSample = (sample: Sample): Sample => ({
  ...sample,
  inputs: Object.fromEntries(Object.entries(sample.inputs).map(([name, values]) => [name, rounded(values)])),
})

const samples = new Map<string, readonly Sample[]>()

/** An op's samples: in every element type, unless the reference itself gives samples of each. */
export const samplesOf = (name: string): readonly Sample[] => {
  if (!samples.has(name)) {
    const given = referenceOf(name).samples()
    const typed = Object.entries(rows[name].inputs).find(([, input]) => (input.dtypes?.length ?? 1) > 1)
    const types = typed === undefined ? [] : new Set(given.map(({ inputs }) => inputs[typed[0]].dtype ?? 'f32'))
    const all =
      typed === undefined || (types as Set<Dtype>).size > 1
        ? given
        : given.flatMap((sample) =>
            typed[1].dtypes!.map((dtype) => ({
              ...sample,
              name: `${sample.name}, ${dtype}`,
              inputs: { ...sample.inputs, [typed[0]]: { ...sample.inputs[typed[0]], dtype } },
            })),
          )
    samples.set(name, all.map(roundedSample))
  }
  return samples.get(name)!
}

export interface How {
  /** What outputs hold beforehand and are added to. */
  onto?: Run
  /** `[output, input]`: the output takes the input's place. */
  inPlace?: readonly [string, string]
  options?: Options
}

/**
 * Runs a sample and returns its outputs and the inputs that the op updates. Everything lies between guard bytes, at odd
 * places; outputs are full of NaN before; what must not change is compared afterwards.
 */
export const runSample = (name: string, sample: Sample, device: Device, how: How = {}): Run => {
  const spec = rows[name]
  const encoded = Object.entries(sample.inputs).map(([key, values]) => [key, encode(values)] as const)
  const inputs = Object.fromEntries(
    encoded.map(([key, { data, shape, dtype }]) => [key, device.tensor(data as Float32Array, shape, dtype)]),
  )
  const before = new Map(encoded.map(([key, { data }]) => [key, data.slice()]))
  const options = { ...sample.options, ...how.options, ...(how.onto === undefined ? {} : { accumulate: true }) }
  const made = opOf(name).prepare(inputs, sample.options)
  const results: Run = {}
  const out: Tensors = {}
  for (const [key, { dtype, shape, size }] of Object.entries(made.outputs)) {
    const array = guarded(dtype, size)
    const old = how.onto?.[key]
    if (old === undefined) new Uint8Array(array.buffer, array.byteOffset, array.byteLength).fill(0xff)
    else array.set(old)
    results[key] = array
    out[key] = device.tensor(array as Float32Array, shape, dtype) as unknown as Tensor
  }
  made.dispose()
  if (how.inPlace !== undefined) {
    const [output, input] = how.inPlace
    out[output] = inputs[input] as unknown as Tensor
    results[output] = encoded.find(([key]) => key === input)![1].data
  }
  opOf(name)(inputs, options, { out })
  for (const [key, array] of Object.entries(results)) assert.ok(guardsHold(array), `${key}: bytes around it changed`)
  for (const [key, { data }] of encoded) {
    assert.ok(guardsHold(data), `${key}: bytes around it changed`)
    if (spec.inputs[key].updated === true) results[key] = data
    else if (key !== how.inPlace?.[1]) assertSameBits({ [key]: data }, { [key]: before.get(key)! }, 'after the call')
  }
  return results
}

const bytesOf = (array: Plain): Buffer => Buffer.from(array.buffer, array.byteOffset, array.byteLength)

/** Every array of `a` against its namesake in `b`. */
export const assertSameBits = (a: Run, b: Run, what: string): void => {
  for (const key of Object.keys(a)) {
    if (bytesOf(a[key]).equals(bytesOf(b[key]))) continue
    const at = a[key].findIndex((x, i) => !Object.is(x, b[key][i]))
    assert.fail(`${key}[${at}] is ${a[key][at]} and ${b[key][at]}: other bits ${what}`)
  }
}

/** One test per op, whose failures name op and sample. */
export const eachSample = async (
  name: string,
  body: (sample: Sample) => void | Promise<void>,
  list: readonly Sample[] = samplesOf(name),
): Promise<void> => {
  for (const sample of list) {
    try {
      await body(sample)
    } catch (error) {
      throw new Error(`${name}, ${sample.name}: ${(error as Error).message}`, { cause: error })
    }
  }
}
