/**
 * Ways to call an op on a device that has to be waited for, beside the plain one of the conformance suites: outputs in the place
 * of inputs, gradients that add up, prepared calls, and values that only a kernel can see to be wrong. Knows no op by name.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Device } from '../lib/index.ts'
import { assertAdded, oldResults } from './accumulated.ts'
import { errorOf } from './bad_calls.ts'
import { attempt, BAD, badPairs, brokenOffsets } from './bad_values.ts'
import { encode } from './encode.ts'
import type { Sample } from './reference/types.ts'
import { runOn } from './run_on.ts'
import {
  assertSameBits,
  deviceOf,
  eachSample,
  opOf,
  otherSettings,
  type Plain,
  type Run,
  rows,
  samplesOf,
  type Tensors,
} from './run_op.ts'

const cpu = await deviceOf()

/** Samples that software computes at once and that have elements: the first, the last, and those between at even steps. */
const small = (name: string, count: number, fits: (sample: Sample) => boolean = () => true): Sample[] => {
  const all = samplesOf(name)
    .filter(({ inputs }) => Object.values(inputs).every(({ data }) => data.length > 0 && data.length < 1100))
    .filter(fits)
  const step = Math.max(1, (all.length - 1) / (count - 1))
  return Array.from({ length: Math.min(count, all.length) }, (_, i) => all[Math.floor(i * step)])
}

/** Reported values after which no more samples are tried; not every sample reads what is bad in it. */
const ENOUGH = 3

/** The sample's tensors, and a call of them prepared. */
const prepareOn = (device: Device, name: string, { inputs, options: given }: Sample) => {
  const tensors: Tensors = Object.fromEntries(
    Object.entries(inputs).map(([key, values]) => {
      const { data, shape, dtype } = encode(values)
      return [key, device.tensor(data as Float32Array, shape, dtype)]
    }),
  )
  const call = opOf(name).prepare(tensors, given)
  const written = (): Tensors => ({
    ...call.outputs,
    ...Object.fromEntries(Object.entries(tensors).filter(([key]) => rows[name].inputs[key].updated === true)),
  })
  const read = async (): Promise<Run> => {
    const run: Run = {}
    for (const [key, tensor] of Object.entries(written())) run[key] = (await tensor.read()) as Plain
    return run
  }
  return { call, tensors, read }
}

/** Full of NaN, so that what is not written shows; parts of words cannot be written from here. */
const spoil = (tensors: Tensors): void => {
  for (const tensor of Object.values(tensors)) {
    if (tensor.byteLength % 4 !== 0) continue
    const bytes = new Uint8Array(tensor.byteLength).fill(0xff)
    const Type = { f32: Float32Array, i32: Int32Array, u8: Uint8Array, bf16: Uint16Array, f16: Uint16Array }[
      tensor.dtype
    ]
    tensor.write(new Type(bytes.buffer, 0, tensor.size))
  }
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

/** What the cpu throws for a call, and what it leaves. */
const onCpu = (name: string, sample: Sample): { error: { code: string; arg: string; index: number }; results: Run } => {
  const { run, results } = attempt(name, sample, cpu)
  let error: unknown
  try {
    run()
  } catch (thrown) {
    error = thrown
  }
  return { error: error as { code: string; arg: string; index: number }, results }
}

/** NaN in the same places, and the same integers. */
const assertSameHoles = (got: Run, expected: Run, what: string): void => {
  for (const [key, array] of Object.entries(expected)) {
    const isFloat = array instanceof Float32Array
    if (!isFloat && array instanceof Uint16Array) continue
    const at = array.findIndex((x, i) => (isFloat ? Number.isNaN(x) !== Number.isNaN(got[key][i]) : x !== got[key][i]))
    assert.equal(at, -1, `${what}: ${key}[${at}] is ${got[key][at]}, and ${array[at]} on cpu`)
  }
}

/**
 * The call goes through, the next look at the device names what the cpu names, and no look after it. Alternates between the
 * two ways to look.
 */
const assertReported = async (device: Device, name: string, broken: Sample, what: string, turn: number) => {
  const { error, results } = onCpu(name, broken)
  let said: unknown
  const after = async (written: Tensors) => {
    const [first] = Object.values(written).filter(({ size }) => size > 0)
    said = await rejection(turn % 2 === 0 || first === undefined ? device.check() : first.read())
  }
  const got = await runOn(device, name, broken, { after })
  if (error === undefined) assert.equal(said, undefined, `${what}: an error though the value is not read`)
  else {
    const throwIt = () => {
      if (said !== undefined) throw said
    }
    errorOf(name, throwIt, { code: error.code, arg: error.arg, index: error.index }, what)
  }
  assertSameHoles(got, results, what)
  return error !== undefined
}

/**
 * Declares the tests of these ops.
 * @param where the device's name in their titles
 * @param absolute what the device may lose beside, because it takes subnormal numbers for 0
 */
export const testCalls = (
  where: string,
  names: readonly string[],
  opened: () => Promise<Device>,
  absolute: number,
): void => {
  for (const name of names) {
    const spec = rows[name]
    const replacements = Object.entries(spec.outputs).flatMap(([output, { inPlaceOf = [] }]) =>
      inPlaceOf.map((input) => [output, input] as const),
    )
    for (const [output, input] of replacements) {
      test(`${name} on ${where}: ${output} in the place of ${input} has the bits of one in memory of its own`, async () => {
        const device = await opened()
        let ran = 0
        const body = async (sample: Sample) => {
          const apart = await runOn(device, name, sample)
          if (apart[output] === undefined) return
          assertSameBits(apart, await runOn(device, name, sample, { inPlace: [output, input] }), 'in place')
          ran++
        }
        await eachSample(
          name,
          body,
          small(name, 2, ({ inputs }) => input in inputs),
        )
        assert.ok(ran > 0, `no sample of ${name} gives ${input} and ${output}`)
      })
    }

    const gradients = Object.keys(spec.outputs).filter((output) => spec.outputs[output].gradient === true)
    if (gradients.length > 0) {
      test(`${name} on ${where}: accumulate adds each gradient once to what is there`, async () => {
        const device = await opened()
        let ran = 0
        const body = async (sample: Sample) => {
          const plain = await runOn(device, name, sample)
          const given = gradients.filter((key) => plain[key] !== undefined)
          if (given.length === 0) return
          const onto = oldResults(name, sample, plain, given)
          assertAdded(name, sample, plain, onto, await runOn(device, name, sample, { onto }), absolute)
          ran++
        }
        await eachSample(name, body, small(name, 2))
        assert.ok(ran > 0, `no sample of ${name} gives a gradient`)
      })
    }

    test(`${name} on ${where}: prepared calls give the bits of plain ones, each with its own settings`, async () => {
      const device = await opened()
      const body = async (sample: Sample) => {
        const settings = otherSettings(name, sample.options)
        const changed = { ...sample, options: { ...sample.options, ...settings } }
        const [expected, expectedChanged] = [await runOn(device, name, sample), await runOn(device, name, changed)]
        const [one, two, three] = [sample, changed, sample].map((each) => prepareOn(device, name, each))
        three.call.set(settings)
        for (const { call } of [two, one, three]) call.run()
        assertSameBits(expected, await one.read(), 'prepared')
        assertSameBits(expectedChanged, await two.read(), 'prepared beside other calls')
        assertSameBits(expectedChanged, await three.read(), 'after set')
        if (Object.values(spec.inputs).some(({ updated }) => updated === true)) return
        for (let round = 0; round < 3; round++) {
          spoil(one.call.outputs)
          if (round === 0) one.call.run()
          else opOf(name)(one.tensors, sample.options, { out: one.call.outputs })
          assertSameBits(expected, await one.read(), round === 0 ? 'run again' : 'by a plain call on the same tensors')
        }
      }
      await eachSample(name, body, small(name, 2))
    })

    for (const [key, { fault, dtypes = ['f32'] }] of Object.entries(spec.inputs)) {
      if (fault === undefined || fault.code === 'ERR_OFFSETS' || BAD[dtypes[0]] === undefined) continue
      test(`${name} on ${where}: a bad value in ${key} rejects one read with what the cpu throws`, async () => {
        const device = await opened()
        let reported = 0
        for (const [turn, { sample, broken, value }] of badPairs(name, key).entries()) {
          if (reported >= ENOUGH) break
          const what = `${name}, ${sample.name}, ${key} = ${value}`
          const before = await runOn(device, name, sample)
          if (await assertReported(device, name, broken, what, turn)) reported++
          assertSameBits(before, await runOn(device, name, sample), `${what}: after it`)
        }
        assert.ok(reported > 0, `no sample of ${name} reads ${key}`)
      })
    }

    if (spec.inputs.offsets === undefined) continue
    test(`${name} on ${where}: broken offsets reject one read with what the cpu throws`, async () => {
      const device = await opened()
      const tried = brokenOffsets(name).slice(0, 6)
      assert.ok(tried.length > 0, `no sample of ${name} is packed`)
      for (const [turn, { sample, broken, values }] of tried.entries()) {
        const before = await runOn(device, name, sample)
        await assertReported(device, name, broken, `${name}, offsets [${values}]`, turn)
        assertSameBits(before, await runOn(device, name, sample), `after offsets [${values}]`)
      }
    })
  }

  test(`on ${where} two bad calls between two looks are one error, of the first call`, async () => {
    const device = await opened()
    const bad = names.flatMap((name) => {
      const key = Object.keys(rows[name].inputs).find((input) => rows[name].inputs[input].dtypes?.[0] === 'i32')
      if (key === undefined || rows[name].inputs[key].fault?.code !== 'ERR_ID_RANGE') return []
      const [{ broken, first }] = badPairs(name, key)
      return [{ name, key, broken, first }]
    })
    assert.ok(bad.length > 1)
    const [one, two] = bad
    const calls = [one, two].map(({ name, broken }) => prepareOn(device, name, broken).call)
    for (const call of calls) call.run()
    const said = (await rejection(device.check())) as { op: string; arg: string; index: number }
    assert.deepEqual([said.op, said.arg, said.index], [one.name, one.key, one.first])
    await device.check()
  })
}
