/** Calls that must be refused: made from a good call of every op, with one thing wrong. */
import assert from 'node:assert/strict'
import { PrefgradError } from '../lib/index.ts'
import { encode } from './encode.ts'
import type { Dtype, Sample } from './reference/types.ts'
import { textOf } from './root.ts'
import { assertSameBits, opNames, opOf, type Plain, type Run, rows, samplesOf } from './run_op.ts'

/** An argument as users write it when it is no plain 1-D array. */
export interface Wrapped {
  data: Plain
  shape: readonly number[]
  dtype: Dtype
}

export interface Call {
  name: string
  inputs: Record<string, Wrapped>
  options: Record<string, unknown>
  out: Record<string, Wrapped>
}

const CANARY = 0xab

/** Memory of its own, full of canaries. */
export const canary = (array: Plain): Plain => {
  const copy = array.slice()
  new Uint8Array(copy.buffer).fill(CANARY)
  return copy
}

/** The sample with the most inputs of those that are not empty. */
const richest = (name: string): Sample => {
  const usable = samplesOf(name).filter(({ inputs }) => Object.values(inputs).every(({ data }) => data.length > 0))
  const small = usable.filter(({ inputs }) => Object.values(inputs).every(({ data }) => data.length < 5000))
  const count = ({ inputs }: Sample) => Object.keys(inputs).length
  return small.reduce((best, sample) => (count(sample) > count(best) ? sample : best))
}

const goodCalls = new Map<string, Call>()

/** A good call of an op, with memory of its own every time. */
export const goodCall = (name: string): Call => {
  let call = goodCalls.get(name)
  if (call === undefined) {
    const sample = richest(name)
    const inputs = Object.fromEntries(
      Object.entries(sample.inputs).map(([key, values]) => {
        const { data, shape, dtype } = encode(values)
        return [key, { data: data.slice(), shape, dtype }]
      }),
    )
    const prepared = opOf(name).prepare(inputs, sample.options)
    const out = Object.fromEntries(
      Object.entries(prepared.outputs).map(([key, { data, shape, dtype }]) => [
        key,
        { data: canary(data as Plain), shape, dtype },
      ]),
    )
    call = { name, inputs, options: sample.options ?? {}, out }
    goodCalls.set(name, call)
  }
  const copies = (all: Record<string, Wrapped>) =>
    Object.fromEntries(Object.entries(all).map(([key, one]) => [key, { ...one, data: one.data.slice() }]))
  return { name, inputs: copies(call.inputs), options: { ...call.options }, out: copies(call.out) }
}

/** Outputs and updated inputs of a call that is expected to work. */
export const works = ({ name, inputs, options, out }: Call): Run => {
  opOf(name)(inputs, options, { out })
  return resultsOf({ name, inputs, options, out })
}

const resultsOf = ({ name, inputs, out }: Call): Run => {
  const updated = Object.keys(inputs).filter((key) => rows[name].inputs[key]?.updated === true)
  return Object.fromEntries([
    ...Object.entries(out).map(([key, { data }]) => [key, data]),
    ...updated.map((key) => [key, inputs[key].data]),
  ])
}

const codes = new Set([...textOf('lib/errors.ts').matchAll(/^ \* \| `(ERR_\w+)`/gm)].map(([, code]) => code))

export interface Expected {
  code: string | readonly string[]
  arg?: string
  index?: number
  /** The outputs say NaN: the value could only be seen by the kernel. */
  ran?: boolean
}

/** The error that `run` throws: documented, about this op, and as expected. */
export const errorOf = (
  name: string,
  run: () => unknown,
  { code, arg, index }: Expected,
  what: string,
): PrefgradError => {
  let error: unknown
  try {
    run()
  } catch (thrown) {
    error = thrown
  }
  assert.ok(error !== undefined, `${what}: no error`)
  assert.ok(error instanceof PrefgradError, `${what}: ${(error as Error).stack}`)
  assert.ok(codes.has(error.code), `${what}: ${error.code} is not documented`)
  assert.ok([code].flat().includes(error.code), `${what}: ${error.code} instead of ${code}: ${error.message}`)
  assert.equal(error.op, name, `${what}: op`)
  assert.ok(error.message.startsWith(`${name}: `), `${what}: ${error.message}`)
  assert.ok(error.fix === undefined || error.message.endsWith(` ${error.fix}`), `${what}: ${error.message}`)
  if (arg !== undefined) assert.equal(error.arg, arg, `${what}: ${error.message}`)
  if (index !== undefined) assert.equal(error.index, index, `${what}: ${error.message}`)
  return error
}

/** Makes the call, which must be refused before anything is written. `given` replaces what the op is handed. */
export const refused = (
  call: Call,
  what: string,
  expected: Expected,
  given: { inputs?: unknown; options?: unknown; settings?: unknown } = {},
): PrefgradError => {
  const inputs = 'inputs' in given ? given.inputs : call.inputs
  const options = 'options' in given ? given.options : call.options
  const settings = 'settings' in given ? given.settings : { out: call.out }
  const isAlive = ([, { byteLength, length }]: [string, Plain]) => byteLength > 0 && length > 0
  const before = Object.fromEntries(Object.entries(resultsOf(call)).filter(isAlive))
  const kept = Object.fromEntries(Object.entries(before).map(([key, data]) => [key, data.slice()]))
  const error = errorOf(
    call.name,
    () => opOf(call.name)(inputs as object, options as object, settings as object),
    expected,
    `${call.name}, ${what}`,
  )
  if (expected.ran !== true) {
    const alive = Object.fromEntries(Object.entries(before).filter(isAlive))
    assertSameBits(alive, kept, `${call.name}, ${what}: after a refused call`)
  }
  return error
}

/** For each op: a body that makes bad calls, after which a good one gives the bits it gave before. */
export const eachOp = (body: (name: string) => void): void => {
  for (const name of opNames) {
    const before = works(goodCall(name))
    body(name)
    assertSameBits(before, works(goodCall(name)), `${name}: after refused calls`)
  }
}
