/** A sample as a call on a device that has to be waited for. */
import assert from 'node:assert/strict'
import type { Device } from '../lib/index.ts'
import { encode } from './encode.ts'
import type { Dtype, Sample, Values } from './reference/types.ts'
import { assertSameBits, opOf, type Plain, type Run, rows, type Tensors } from './run_op.ts'

const CANARY = 0xa5

/** Guard elements on either side: an odd place, and one where vectors of 16 bytes may begin. */
const GUARDS = { odd: 67, aligned: 64 } as const
type Place = keyof typeof GUARDS

/** A tensor between guard elements, at some place of a larger one. */
const between = (device: Device, data: Plain, shape: readonly number[], dtype: Dtype, place: Place) => {
  const guard = GUARDS[place]
  const whole = new (data.constructor as new (n: number) => Plain)(data.length + 2 * guard)
  new Uint8Array(whole.buffer).fill(CANARY)
  whole.set(data as Float32Array, guard)
  const around = device.tensor(whole as Float32Array, [whole.length], dtype)
  return { around, tensor: around.view(guard, shape), length: data.length, guard }
}

const inside = async ({ around, length, guard }: ReturnType<typeof between>, what: string): Promise<Plain> => {
  const whole = (await around.read()) as Plain
  const bytes = new Uint8Array(whole.buffer, whole.byteOffset, whole.byteLength)
  const edge = guard * whole.BYTES_PER_ELEMENT
  const end = edge + length * whole.BYTES_PER_ELEMENT
  const at = bytes.findIndex((byte, i) => (i < edge || i >= end) && byte !== CANARY)
  assert.equal(at, -1, `${what}: byte ${at} around it changed`)
  return whole.slice(guard, guard + length)
}

export interface How {
  onto?: Run
  inPlace?: readonly [string, string]
  /** Where every tensor begins; odd unless told. */
  place?: Place
  /** Waited for between the call and the first look at what it wrote. */
  after?: (written: Tensors) => Promise<unknown>
}

/** As `runSample`: guards around everything, outputs full of NaN before. */
export const runOn = async (device: Device, name: string, sample: Sample, how: How = {}): Promise<Run> => {
  const spec = rows[name]
  const place = how.place ?? 'odd'
  const encoded = Object.entries(sample.inputs).map(([key, values]: [string, Values]) => [key, encode(values)] as const)
  const inputs = new Map(
    encoded.map(([key, { data, shape, dtype }]) => [key, between(device, data, shape, dtype as Dtype, place)]),
  )
  const tensors = Object.fromEntries([...inputs].map(([key, { tensor }]) => [key, tensor]))
  const options = { ...sample.options, ...(how.onto === undefined ? {} : { accumulate: true }) }
  const made = opOf(name).prepare(tensors, sample.options)
  const outputs = new Map<string, ReturnType<typeof between>>()
  const out: Tensors = {}
  for (const [key, { dtype, shape, size }] of Object.entries(made.outputs)) {
    if (key === how.inPlace?.[0]) {
      out[key] = tensors[how.inPlace[1]]
      continue
    }
    const old = how.onto?.[key]
    const Type =
      dtype === 'f32' ? Float32Array : dtype === 'i32' ? Int32Array : dtype === 'u8' ? Uint8Array : Uint16Array
    const data = old?.slice() ?? new Type(size)
    if (old === undefined) new Uint8Array(data.buffer).fill(0xff)
    outputs.set(key, between(device, data, shape, dtype, place))
    out[key] = outputs.get(key)!.tensor
  }
  for (const tensor of Object.values(made.outputs)) tensor.dispose()
  made.dispose()
  opOf(name)(tensors, options, { out })
  const updated = Object.keys(tensors).filter((key) => spec.inputs[key].updated === true)
  await how.after?.({ ...out, ...Object.fromEntries(updated.map((key) => [key, tensors[key]])) })
  const results: Run = {}
  for (const [key, place] of outputs) results[key] = await inside(place, `${name} ${key}`)
  for (const [key, { data }] of encoded) {
    const now = await inside(inputs.get(key)!, `${name} ${key}`)
    if (updated.includes(key)) results[key] = now
    else if (key === how.inPlace?.[1]) results[how.inPlace[0]] = now
    else assertSameBits({ [key]: now }, { [key]: data }, 'after the call')
  }
  for (const { around, tensor } of [...inputs.values(), ...outputs.values()]) {
    tensor.dispose()
    around.dispose()
  }
  return results
}
