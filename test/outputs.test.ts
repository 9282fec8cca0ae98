/** Where the outputs of a call lie when the caller gives no memory for them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dpoLoss } from '../lib/index.ts'

const PAGE = 4096

const placesOf = (pairs: number): { start: number; end: number }[] => {
  const scores = new Float32Array(pairs)
  const { stats, loss, ...each } = dpoLoss({ policyChosen: scores, policyRejected: scores })
  const buffers = new Set([stats, loss, ...Object.values(each)].map(({ data }) => data.buffer))
  assert.equal(buffers.size, 1, 'outputs lie in one slab')
  return Object.values(each)
    .map(({ data }) => ({ start: data.byteOffset, end: data.byteOffset + data.byteLength }))
    .sort((a, b) => a.start - b.start)
}

test('outputs of 2^k elements begin at different bytes of a page', () => {
  for (const pairs of [4096, 2 ** 17, 100_000, 2 ** 20]) {
    const places = placesOf(pairs)
    const within = places.map(({ start }) => start % PAGE)
    for (const [k, one] of within.entries()) {
      assert.notEqual(one, 0, 'where the inputs begin')
      for (const other of within.slice(0, k)) assert.ok(Math.abs(one - other) >= 512, `${pairs}: ${one} and ${other}`)
    }
    for (const [k, { start }] of places.entries()) {
      assert.equal(start % 64, 0)
      if (k > 0) assert.ok(start >= places[k - 1].end && start - places[k - 1].end < 2 * PAGE)
    }
  }
})

test('small outputs lie close together', () => {
  const places = placesOf(100)
  for (const [k, { start }] of places.entries()) if (k > 0) assert.equal(start, places[k - 1].start + 448)
})
