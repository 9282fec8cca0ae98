/** What the references of the policy's ops rest on: published vectors, transposes, and answers that f32 cannot move. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { roundTo } from './reference/model/cast.ts'
import { assertClose, dot } from './reference/model/close.ts'
import { chainBound, f32, normals, seeded } from './reference/model/common.ts'
import { modelReferences } from './reference/model/index.ts'
import { philox4x32, type Words4 } from './reference/model/philox.ts'
import { draws } from './reference/model/sampling.ts'

const hex = (words: Words4): string => words.map((word) => word.toString(16).padStart(8, '0')).join(' ')

test('Philox4x32-10 gives the known answers that its authors published', () => {
  const ones = 0xffffffffn
  assert.equal(hex(philox4x32([0n, 0n, 0n, 0n], [0n, 0n])), '6627e8d5 e169c58d bc57ac4c 9b00dbd8')
  assert.equal(hex(philox4x32([ones, ones, ones, ones], [ones, ones])), '408f276d 41c83b0e a20bc7c6 6d5451fd')
  // Digits of pi.
  const pi = [0x243f6a88n, 0x85a308d3n, 0x13198a2en, 0x03707344n] as const
  assert.equal(hex(philox4x32(pi, [0xa4093822n, 0x299f31d0n])), 'd16cfe09 94fdcceb 5001e420 24126ea1')
})

test('rounding to f32 agrees with Math.fround', () => {
  const random = seeded(1)
  for (let n = 0; n < 2000; n++) {
    const x = random.normal() * 10 ** (90 * random.next() - 48)
    assert.ok(Object.is(roundTo(x, 'f32'), Math.fround(x)), String(x))
  }
})

test('embedding and gatherRows are transposes of their gradients', () => {
  for (const [name, table, index] of [
    ['embedding', 'table', 'ids'],
    ['gatherRows', 'x', 'rows'],
  ] as const) {
    const forward = modelReferences[name]
    const backward = modelReferences[`${name}Backward`]
    const random = seeded(2)
    for (let n = 0; n < 20; n++) {
      const { inputs } = forward.random(random)
      const rows = inputs[table].shape[0]
      const { y } = forward.compute(inputs, {})
      const gradY = normals(random, y.shape)
      const gradients = backward.compute({ gradY, [index]: inputs[index] }, { vocabularySize: rows, count: rows })
      assertClose([dot(Object.values(gradients)[0].data, inputs[table].data)], [dot(gradY.data, y.data)], 1e-12)
    }
  }
})

test('no sample of sampleTokens hangs on the last bits of an exponential', () => {
  const { samples, random } = modelReferences.sampleTokens
  const source = seeded(3)
  for (const { name, inputs, options } of [...samples(), ...Array.from({ length: 50 }, () => random(source))]) {
    for (const { margin } of draws(inputs, { temperature: 1, seed: 0, counter: 0, ...options })) {
      assert.ok(margin > 1e-5, `${name}: ${margin}`)
    }
  }
})

test('the bound of a chain covers f32 sums, and not those of half precision', () => {
  const random = seeded(4)
  const halves = (values: ArrayLike<number>) => Array.from(values, (x) => roundTo(x, 'bf16'))
  let outside = 0
  for (let n = 0; n < 50; n++) {
    const [a, b] = [normals(random, [300]).data, normals(random, [300]).data]
    const bound = chainBound(300, (k) => a[k] * b[k])
    let single = 0
    for (let k = 0; k < 300; k++) single = Math.fround(single + Math.fround(a[k] * b[k]))
    assert.ok(Math.abs(single - dot(a, b)) <= bound)
    if (Math.abs(dot(halves(a), halves(b)) - dot(a, b)) > bound) outside++
  }
  assert.ok(outside > 45, `${outside} of 50 half-precision sums were refused`)
})

test('attention with one key is its value, and its log-sum the score', () => {
  const { y, logSum } = modelReferences.rotaryAttention.compute(
    { query: f32([3, 4], [1, 1, 2]), key: f32([1, 2], [1, 1, 2]), value: f32([7, 8], [1, 1, 2]) },
    { heads: 1, keyValueHeads: 1, base: 10000 },
  )
  assert.deepEqual([...(y.data as Float64Array)], [7, 8])
  assertClose(logSum.data, [(3 * 1 + 4 * 2) / Math.SQRT2], 1e-12)
})
