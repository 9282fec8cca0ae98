import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertDisjoint, Batches, hashFraction, splitByPrompt } from '../lib/data/index.ts'

const prompts = Array.from({ length: 2000 }, (_, i) => ({ prompt: `prompt ${i}` }))

test('the hash fraction is the first 48 bits of SHA-256', () => {
  const hex = createHash('sha256').update('Grüße').digest('hex').slice(0, 12)
  assert.equal(hashFraction('Grüße'), Number.parseInt(hex, 16) / 2 ** 48)
})

test('the split holds out about its share, keeps prompts together and does not depend on the order', () => {
  const twice = [...prompts, ...prompts.toReversed()]
  const { train, heldOut } = splitByPrompt(twice, { heldOut: 0.1 })
  // 2000 draws with probability 0.1: 200 expected, standard deviation 13.4; four of them.
  assert.ok(Math.abs(heldOut.length / 2 - 200) < 54, `${heldOut.length / 2}`)
  assert.equal(train.length + heldOut.length, twice.length)
  assertDisjoint(train, heldOut)
})

test('a larger share only moves examples to the held-out side, another salt gives another split', () => {
  const small = splitByPrompt(prompts, { heldOut: 0.1 }).heldOut
  const large = new Set(splitByPrompt(prompts, { heldOut: 0.2 }).heldOut)
  assert.ok(small.every((example) => large.has(example)))
  assert.notDeepEqual(splitByPrompt(prompts, { heldOut: 0.1, salt: 'b' }).heldOut, small)
  assert.equal(splitByPrompt(prompts, { heldOut: 0 }).heldOut.length, 0)
  for (const heldOut of [-0.1, 1, Number.NaN]) {
    assert.throws(() => splitByPrompt(prompts, { heldOut }), { code: 'ERR_OPTION' })
  }
})

test('texts without a prompt are told apart by what they say', () => {
  const texts = Array.from({ length: 200 }, (_, i) => ({ prompt: '', completion: `text ${i}` }))
  const { train, heldOut } = splitByPrompt(texts, { heldOut: 0.5 })
  assert.ok(train.length > 50 && heldOut.length > 50)
  assertDisjoint(train, heldOut)
  const turned = [
    { prompt: '', chosen: 'a', rejected: 'b' },
    { prompt: '', chosen: 'b', rejected: 'a' },
  ]
  assert.throws(() => assertDisjoint([turned[0]], [turned[1]]), { code: 'ERR_DATA' })
})

test('a prompt on both sides is refused by name and line', () => {
  const train = [
    { prompt: 'a', line: 1 },
    { prompt: 'shared\none', line: 5 },
    { prompt: 'shared two', line: 6 },
  ]
  const heldOut = [
    { prompt: 'b', line: 1 },
    { prompt: 'shared\none', line: 3 },
    { prompt: 'shared\none', line: 4 },
    { prompt: 'shared two', line: 5 },
  ]
  assert.throws(() => assertDisjoint(train, heldOut), {
    code: 'ERR_DATA',
    index: 3,
    value: 'shared\none',
    message: /^2 prompts are in .*; the first is "shared\\none" \(training line 5, held-out line 3\)\. Remove/,
  })
  assert.throws(() => assertDisjoint([{ prompt: 'x' }], [{ prompt: 'x' }]), /^PrefgradError: One prompt is in .* "x"\./)
})

const examples = Array.from({ length: 23 }, (_, i) => i)

test('every epoch sees each example once, in an order of its own', () => {
  const batches = new Batches(examples, { batchSize: 5, epochs: 2, seed: 1 })
  assert.equal(batches.batchesPerEpoch, 5)
  const all = [...batches]
  assert.deepEqual(
    all.map(({ length }) => length),
    [5, 5, 5, 5, 3, 5, 5, 5, 5, 3],
  )
  const [first, second] = [all.slice(0, 5).flat(), all.slice(5).flat()]
  assert.deepEqual(
    first.toSorted((a, b) => a - b),
    examples,
  )
  assert.deepEqual(
    second.toSorted((a, b) => a - b),
    examples,
  )
  assert.notDeepEqual(first, second)
  assert.notDeepEqual(first, examples)
  assert.deepEqual(batches.position, { epoch: 2, index: 0 })
  assert.equal(batches.next(), undefined)
})

test('the same seed gives the same order; the next seed does not give the next epoch', () => {
  const order = (seed: number | bigint, epochs = 1) => [...new Batches(examples, { batchSize: 23, epochs, seed })]
  assert.deepEqual(order(7), order(7n))
  assert.notDeepEqual(order(7)[0], order(8)[0])
  assert.notDeepEqual(order(7, 2)[1], order(8)[0])
  assert.deepEqual([...new Batches(examples, { batchSize: 23, shuffle: false })], [examples])
})

test('a run resumed at any saved position goes on exactly', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.nat(12), fc.nat(), (batchSize, steps, seed) => {
      const options = { batchSize, epochs: 3, seed }
      const uninterrupted = new Batches(examples, options)
      for (let i = 0; i < steps; i++) uninterrupted.next()
      const position = JSON.parse(JSON.stringify(uninterrupted.position))
      assert.deepEqual([...new Batches(examples, { ...options, position })], [...uninterrupted])
    }),
  )
})

test('endless epochs go on, and a loop that was left goes on where it stopped', () => {
  const batches = new Batches(examples, { batchSize: 10, epochs: Number.POSITIVE_INFINITY })
  const seen: number[] = []
  for (const batch of batches) if (seen.push(...batch) >= 23 * 4) break
  for (const batch of batches) if (seen.push(...batch) >= 23 * 8) break
  for (const example of examples) assert.equal(seen.filter((other) => other === example).length, 8)
})

test('nothing to batch, bad options and foreign positions are refused', () => {
  assert.throws(() => new Batches([], { batchSize: 1 }), { code: 'ERR_DATA' })
  const bad = [
    { batchSize: 0 },
    { batchSize: 1.5 },
    { batchSize: 1, epochs: -1 },
    { batchSize: 1, seed: -1 },
    { batchSize: 1, position: { epoch: 0, index: 23 } },
    { batchSize: 1, position: { epoch: -1, index: 0 } },
  ]
  for (const options of bad) assert.throws(() => new Batches(examples, options), { code: 'ERR_OPTION' })
})
