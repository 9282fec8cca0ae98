import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PrefgradError } from '../lib/errors.ts'
import { Random, type RandomState, splitMix64 } from '../lib/random.ts'

const isOptionError = (error: unknown) => error instanceof PrefgradError && error.code === 'ERR_OPTION'

test('SplitMix64 gives the published numbers for seed 1234567', () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((n) => splitMix64(1234567n, n)),
    [6457827717110365317n, 3203168211198807973n, 9817491932198370423n, 4593380528125082431n, 16408922859458223821n],
  )
})

test('xoshiro128** gives the published numbers for the words 1, 2, 3, 4', () => {
  const random = Random.fromState({ algorithm: 'xoshiro128**', words: [1, 2, 3, 4], spareNormal: null })
  assert.deepEqual(
    Array.from({ length: 10 }, () => random.uint32()),
    [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804],
  )
})

test('a seed fills the words with SplitMix64, low half first', () => {
  // SplitMix64 from seed 0 begins e220a8397b1dcdaf, 6e789e6aa1b965f4.
  assert.deepEqual(new Random(0).state().words, [0x7b1dcdaf, 0xe220a839, 0xa1b965f4, 0x6e789e6a])
})

test('seed 42 gives these numbers forever', () => {
  const random = new Random(42)
  const drawn = [
    random.next(),
    random.next(),
    random.normal(),
    random.normal(),
    random.integer(10),
    random.integer(2 ** 40),
  ]
  assert.deepEqual(
    drawn,
    [0.4137016681565887, 0.003983993377814743, 1.0873020675225116, 1.3373747636261166, 6, 687781046583],
  )
  assert.deepEqual(new Random(42n).state(), new Random(42).state())
  assert.notDeepEqual(new Random(43).state(), new Random(42).state())
})

test('a generator resumed from its JSON state goes on with the same numbers', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat(20), (seed, draws) => {
      const original = new Random(seed)
      for (let i = 0; i < draws; i++) original.normal()
      const resumed = Random.fromState(JSON.parse(JSON.stringify(original.state())) as RandomState)
      for (let i = 0; i < 5; i++) {
        assert.equal(resumed.normal(), original.normal())
        assert.equal(resumed.next(), original.next())
      }
    }),
  )
})

test('uniform numbers stay in [0, 1) and use 53 bits', () => {
  const random = new Random(7)
  let sum = 0
  let finest = 0
  for (let i = 0; i < 100_000; i++) {
    const drawn = random.next()
    assert.ok(drawn >= 0 && drawn < 1)
    finest += (drawn * 2 ** 53) % 2
    sum += drawn
  }
  // Standard deviations: of the mean 1/√(12·1e5) = 9.1e-4, of the count of odd numerators √1e5/2 = 158.
  assert.ok(Math.abs(sum / 100_000 - 0.5) < 5e-3)
  assert.ok(Math.abs(finest - 50_000) < 800)
})

test('integers are unbiased where the modulus alone would not be', () => {
  // With n = 3·2^30 a plain modulus gives the lowest third twice as often: 1/2 instead of 1/3.
  const random = new Random(11)
  const n = 3 * 2 ** 30
  const draws = 30_000
  let lowest = 0
  for (let i = 0; i < draws; i++) {
    const drawn = random.integer(n)
    assert.ok(Number.isInteger(drawn) && drawn >= 0 && drawn < n)
    if (drawn < 2 ** 30) lowest++
  }
  assert.ok(Math.abs(lowest / draws - 1 / 3) < 0.015)
  assert.equal(random.integer(1), 0)
  const large = Array.from({ length: 50 }, () => random.integer(Number.MAX_SAFE_INTEGER))
  assert.ok(large.every((drawn) => Number.isSafeInteger(drawn)) && large.some((drawn) => drawn > 2 ** 52))
})

test('normal numbers have the moments and tails of the normal distribution', () => {
  const random = new Random(5)
  const draws = 200_000
  const powers = [0, 0, 0, 0]
  let beyondTwo = 0
  for (let i = 0; i < draws; i++) {
    const drawn = random.normal()
    powers.forEach((_, power) => {
      powers[power] += drawn ** (power + 1) / draws
    })
    if (Math.abs(drawn) > 2) beyondTwo++
  }
  // Standard deviations of the four sample moments: √(1, 2, 15, 96) / √2e5 = 0.0022, 0.0032, 0.0087, 0.022.
  const expected = [0, 1, 0, 3]
  const allowed = [0.011, 0.016, 0.044, 0.11]
  powers.forEach((moment, i) => {
    assert.ok(Math.abs(moment - expected[i]) < allowed[i], `moment ${i + 1} is ${moment}`)
  })
  assert.ok(Math.abs(beyondTwo / draws - 0.0455) < 0.003)
})

test('a shuffle keeps every element and reaches every order equally often', () => {
  const random = new Random(3)
  const counts = new Map<string, number>()
  for (let i = 0; i < 24_000; i++) {
    const letters = ['a', 'b', 'c', 'd']
    assert.equal(random.shuffle(letters), letters)
    const order = letters.join('')
    counts.set(order, (counts.get(order) ?? 0) + 1)
  }
  assert.equal(counts.size, 24)
  for (const [order, count] of counts) assert.ok(Math.abs(count - 1000) < 160, `${order}: ${count}`)
})

test('a bad seed, range or state is refused with ERR_OPTION', () => {
  for (const seed of [-1, 1.5, Number.NaN, Infinity, 2 ** 53, -1n, 2n ** 64n, '1' as unknown as number]) {
    assert.throws(() => new Random(seed), isOptionError, String(seed))
  }
  for (const n of [0, -3, 2.5, Number.NaN, 2 ** 53])
    assert.throws(() => new Random(1).integer(n), isOptionError, String(n))
  const good = new Random(1).state()
  for (const bad of [
    undefined,
    { ...good, algorithm: 'mt19937' },
    { ...good, words: [0, 0, 0, 0] },
    { ...good, words: [1, 2, 3] },
    { ...good, words: [1, 2, 3, 2 ** 32] },
    { ...good, spareNormal: Number.NaN },
  ]) {
    assert.throws(() => Random.fromState(bad as RandomState), isOptionError, JSON.stringify(bad))
  }
})
