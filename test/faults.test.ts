/**
 * Values that only a kernel can see: reported with the smallest index whatever the threads do, written as NaN and never as
 * plausible numbers, and never a read or write outside an array. Knows no op by name.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PrefgradError } from '../lib/index.ts'
import { errorOf } from './bad_calls.ts'
import { attempt, BAD, badPairs, brokenOffsets, samplesWith, withData } from './bad_values.ts'
import type { Sample, Values } from './reference/types.ts'
import { assertSameBits, deviceOf, opNames, type Plain, type Run, rows, runSample } from './run_op.ts'

const alone = await deviceOf(undefined, 1)
const crowd = await deviceOf(undefined, 3, 1)

for (const name of opNames) {
  const spec = rows[name]
  for (const [key, { fault, dtypes = ['f32'], shape }] of Object.entries(spec.inputs)) {
    const bad = BAD[dtypes[0]]
    if (fault === undefined || bad === undefined || fault.code === 'ERR_OFFSETS') continue

    test(`${name}: of two bad values in ${key} the first is reported, on one thread and on three`, () => {
      let reported = 0
      for (const { sample, broken, first, value } of badPairs(name, key)) {
        if (!isRead(name, sample, broken)) continue
        reported++
        const runs = [alone, crowd].map((device) => {
          const call = attempt(name, broken, device)
          const expected = { code: fault.code, arg: key, index: first }
          const error = errorOf(name, call.run, expected, `${name}, ${sample.name}, ${key} = ${value}`)
          assert.ok(Object.is(error.value, value), `${error.value} is not ${value}`)
          assert.ok(error.message.includes(`${key}[${first}] = ${value} ${fault.says}`), error.message)
          assert.ok(call.holds(), `${name}: guard bytes changed`)
          return call.results
        })
        assertSameBits(runs[0], runs[1], 'after a fault on three threads')
        assertNaN(name, sample, key, first, runs[0])
      }
      assert.ok(reported > 0, `no sample of ${name} reads ${key}`)
    })

    if (dtypes[0] !== 'i32' || shape[0] !== '*N') continue
    test(`${name}: no value of ${key} reads or writes outside an array`, () => {
      const [sample] = samplesWith(name, key, 2)
      const length = sample.inputs[key].data.length
      fuzz(name, sample, key, fc.array(integers, { minLength: length, maxLength: length }), [fault.code])
    })
  }

  const offsets = spec.inputs.offsets
  if (offsets === undefined) continue
  test(`${name}: offsets that do not start at 0, fall, or do not end at N are refused, and everything is NaN`, () => {
    const tried = brokenOffsets(name)
    assert.ok(tried.length > 0, `no sample of ${name} is packed`)
    for (const { broken, values, what } of tried) {
      const runs = [alone, crowd].map((device) => {
        const call = attempt(name, broken, device)
        const error = errorOf(name, call.run, { code: 'ERR_OFFSETS', arg: 'offsets' }, `${name}, [${values}] ${what}`)
        assert.ok(error.index !== undefined && error.index >= 0 && error.index < values.length, `index ${error.index}`)
        assert.equal(error.value, values[error.index])
        assert.ok(call.holds(), `${name}: guard bytes changed`)
        return { results: call.results, index: error.index }
      })
      assert.equal(runs[0].index, runs[1].index)
      assertSameBits(runs[0].results, runs[1].results, 'after a fault on three threads')
      for (const [output, array] of Object.entries(runs[0].results)) {
        const at = Array.from(array).findIndex((x) => !Number.isNaN(x))
        assert.equal(at, -1, `${output}[${at}] is ${array[at]} though the offsets are [${values}]`)
      }
    }
  })

  test(`${name}: no offsets read or write outside an array`, () => {
    const [sample] = samplesWith(name, 'offsets', 4)
    const length = sample.inputs.offsets.data.length
    const N = Number(sample.inputs.offsets.data[length - 1])
    const near = fc.oneof(fc.integer({ min: -2, max: N + 2 }), integers)
    fuzz(name, sample, 'offsets', fc.array(near, { minLength: length, maxLength: length }), ['ERR_OFFSETS'])
  })
}

const integers = fc.oneof(
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.integer({ min: -4, max: 40 }),
  fc.constantFrom(2 ** 31 - 1, -(2 ** 31), -1, 0),
)

/** Any values: the call works or says why not, and guards hold. */
function fuzz(
  name: string,
  sample: Sample,
  key: string,
  values: fc.Arbitrary<number[]>,
  codes: readonly string[],
): void {
  const seed = Number(process.env.PREFGRAD_SEED ?? 20261121)
  const property = fc.property(values, (data) => {
    const call = attempt(name, withData(sample, key, data), alone)
    try {
      call.run()
    } catch (error) {
      assert.ok(error instanceof PrefgradError && codes.includes(error.code), String(error))
    }
    assert.ok(call.holds(), 'guard bytes changed')
  })
  fc.assert(property, { seed, numRuns: Number(process.env.PREFGRAD_RUNS ?? 100) })
}

/** A bad value that the options leave unread changes no bit. */
function isRead(name: string, sample: Sample, bad: Sample): boolean {
  const call = attempt(name, bad, alone)
  try {
    call.run()
  } catch {
    return true
  }
  assertSameBits(runSample(name, sample, alone), call.results, 'with a bad value that is not read')
  return false
}

/** Rows of a result that belong to one row of an input with as many rows. */
const rowOf = (array: Plain, at: number, { data }: Values): Plain =>
  array.subarray((at * array.length) / data.length, ((at + 1) * array.length) / data.length) as Plain

/** Where the value lies, some output says NaN; no integer output says anything that could be used. */
function assertNaN(name: string, sample: Sample, key: string, at: number, results: Run): void {
  const outputs = Object.entries(rows[name].outputs).filter(([output]) => results[output] instanceof Float32Array)
  if (outputs.length === 0) return
  const lead = rows[name].inputs[key].shape[0]
  const aligned = outputs.filter(([, { shape }]) => shape[0] === lead)
  const parts = aligned.length > 0 ? aligned : outputs
  const said = parts.some(([output]) =>
    (aligned.length > 0 ? rowOf(results[output], at, sample.inputs[key]) : results[output]).some(Number.isNaN),
  )
  assert.ok(said, `${name}, ${sample.name}: no output says NaN for a bad ${key}[${at}]`)
  for (const [output, { shape }] of outputs) {
    const isScalar = shape.every((dim) => typeof dim === 'number')
    if (isScalar) assert.ok(results[output].some(Number.isNaN), `${name}: ${output} looks like a number`)
  }
}
