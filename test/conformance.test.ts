/**
 * Every op of the table on every instruction set against its float64 reference. Knows no op by name: what to try and how near
 * the answer must be comes from test/reference.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { conforms } from './conformance.ts'
import { eachSample, opNames, rows, samplesOf } from './run_op.ts'

for (const name of opNames) {
  test(`${name} gives what its reference gives, in the same bits every time`, () =>
    eachSample(name, (sample) => conforms(name, sample)))

  test(`${name} is tried with every element type, optional input, output and option`, () => {
    const { inputs, outputs, options } = rows[name]
    const samples = samplesOf(name)
    for (const [key, { dtypes = ['f32'], optional }] of Object.entries(inputs)) {
      const given = samples.flatMap((sample) => sample.inputs[key] ?? [])
      assert.deepEqual([...new Set(given.map(({ dtype = 'f32' }) => dtype))].sort(), [...dtypes].sort(), key)
      const always = given.length === samples.length
      assert.ok(optional !== true || !always, `${key} can be left out, and no sample leaves it out`)
    }
    for (const [key, { when }] of Object.entries(outputs)) {
      if (when === undefined) continue
      const isAsked = samples.some((sample) => sample.inputs[when] !== undefined || sample.options?.[when] === true)
      assert.ok(isAsked || !(when in inputs || options[when].default === false), `no sample asks for ${key}`)
    }
    for (const [key, option] of Object.entries(options)) {
      const tried = new Set(samples.map((sample) => sample.options?.[key] ?? option.default))
      const all = option.type === 'enum' ? option.values : option.type === 'boolean' ? [true, false] : []
      for (const value of all) assert.ok(tried.has(value), `${key}: ${value} is tried by no sample`)
      assert.ok(all.length > 0 || tried.size > 1, `${key} has one value in all samples`)
    }
  })
}
