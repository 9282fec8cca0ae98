/** Prepared calls: each keeps its own settings, and runs on what its tensors hold now. Knows no op by name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallShape } from '../lib/spec/schema.ts'
import { type Call, goodCall, works } from './bad_calls.ts'
import { assertSameBits, opNames, opOf, otherSettings, type Plain, type Run, rows } from './run_op.ts'

const prepare = ({ name, inputs, options, out }: Call) => opOf(name).prepare(inputs, options, { out })

const resultsOf = (call: Call): Run => {
  const updated = Object.keys(call.inputs).filter((key) => rows[call.name].inputs[key].updated === true)
  return Object.fromEntries([
    ...Object.entries(call.out).map(([key, { data }]) => [key, data] as const),
    ...updated.map((key) => [key, call.inputs[key].data] as const),
  ])
}

for (const name of opNames) {
  test(`${name}: a prepared call gives the bits of a plain one, whatever ran before it`, () => {
    const expected = works(goodCall(name))
    const changed = goodCall(name)
    const settings = otherSettings(name, changed.options)
    const expectedChanged = works({ ...changed, options: { ...changed.options, ...settings } })

    const [first, second] = [goodCall(name), goodCall(name)]
    const [one, two] = [prepare(first), prepare({ ...second, options: { ...second.options, ...settings } })]
    works(goodCall(name))
    two.run()
    one.run()
    assertSameBits(expected, resultsOf(first), 'prepared')
    assertSameBits(expectedChanged, resultsOf(second), 'prepared beside another call')

    const third = goodCall(name)
    const set = prepare(third)
    set.set(settings)
    set.run()
    assertSameBits(expectedChanged, resultsOf(third), 'after set')
  })

  test(`${name}: a prepared call reads its inputs anew, and its outputs stay where they are`, () => {
    const call = goodCall(name)
    const prepared = opOf(name).prepare(call.inputs, call.options)
    const before = Object.entries(prepared.outputs)
    const results = prepared.run()
    assert.equal(results, prepared.outputs)
    for (const [key, tensor] of before) assert.equal(results[key], tensor)
    const updates = Object.values(rows[name].inputs).some((input) => input.updated === true)
    const bits = Object.fromEntries(before.map(([key, { data }]) => [key, data.slice() as Plain]))
    for (const [, { data }] of before) new Uint8Array(data.buffer, data.byteOffset, data.byteLength).fill(0xab)
    prepared.run()
    if (!updates)
      assertSameBits(bits, Object.fromEntries(before.map(([key, { data }]) => [key, data as Plain])), 'again')
  })

  test(`${name}: checks, passes and workspaces look at no dynamic option`, () => {
    const spec = rows[name]
    const looked = new Set<string>()
    const options = new Proxy(goodCall(name).options, {
      get: (target, key) => {
        looked.add(String(key))
        return target[String(key)]
      },
    })
    const dims = new Proxy({}, { get: () => 8 })
    const seen: CallShape = {
      dims,
      options: options as CallShape['options'],
      flat: false,
      threads: 2,
      has: () => true,
      elementBytes: () => 4,
    }
    spec.check?.(seen)
    spec.workspace?.(seen)
    for (const { when, grid, work } of spec.passes) {
      when?.(seen)
      grid(seen)
      work(seen)
    }
    for (const key of looked) assert.notEqual(spec.options[key]?.dynamic, true, `${key} is dynamic`)
  })
}
