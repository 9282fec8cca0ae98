import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PreferencePair } from '../lib/data/index.ts'
import { agreement, krippendorffAlpha, mergeAnnotators } from '../lib/data/index.ts'

/** A file written as rows of values per observer, `.` for a missing one, turned into values per unit. */
function unitsOf(...observers: string[]): string[][] {
  const rows = observers.map((row) => row.split(' '))
  return rows[0].map((_, unit) => rows.map((row) => row[unit]).filter((value) => value !== '.'))
}

test("Krippendorff's own examples come out", () => {
  // "Computing Krippendorff's Alpha-Reliability" (2011), section A. Of the n = 20 values 14 are 0 and 6 are 1, four
  // units disagree: α = 1 − 19·(4 + 4)/(2·14·6) = 1 − 152/168 = 0.095.
  const sectionA = unitsOf('0 1 0 0 0 0 0 0 1 0', '1 1 1 0 0 1 0 0 0 0')
  assert.equal(krippendorffAlpha(sectionA)?.toFixed(3), '0.095')
  // Section C: four observers, missing values, one unit judged once. The paper gives 0.743.
  const sectionC = unitsOf(
    '1 2 3 3 2 1 4 1 2 . . .',
    '1 2 3 3 2 2 4 1 2 5 . 3',
    '. 3 3 3 2 3 4 2 2 5 1 .',
    '1 2 3 3 2 4 4 1 2 5 1 .',
  )
  assert.equal(krippendorffAlpha(sectionC)?.toFixed(3), '0.743')
})

test('alpha is 1 in perfect agreement, below 0 in perfect disagreement, and null where it is not defined', () => {
  assert.equal(
    krippendorffAlpha([
      ['a', 'a'],
      ['b', 'b'],
    ]),
    1,
  )
  // Two units, both split: n = 4, o_ab + o_ba = 4, Σ n_c·n_k = 8: 1 − 3·4/8 = −½.
  assert.equal(
    krippendorffAlpha([
      ['a', 'b'],
      ['b', 'a'],
    ]),
    -0.5,
  )
  assert.equal(
    krippendorffAlpha([
      ['a', 'a'],
      ['a', 'a'],
    ]),
    null,
  )
  assert.equal(krippendorffAlpha([['a'], ['b']]), null)
  assert.equal(krippendorffAlpha([]), null)
})

const row = (annotator: string | undefined, chosen: string, rejected: string, more: Partial<PreferencePair> = {}) => ({
  prompt: 'p',
  chosen,
  rejected,
  ...(annotator !== undefined && { annotator }),
  ...more,
})

test('annotators who give the responses the other way round are matched', () => {
  const same = agreement([
    row('ann', 'x', 'y'),
    row('bob', 'y', 'x', { preference: 0.1 }),
    row('ann', 'z', 'y'),
    row('bob', 'y', 'z', { preference: 0 }),
    row('ann', 'v', 'w'),
    row('bob', 'w', 'v'),
    row('ann', 'alone', 'judged'),
  ])
  // Agreed on two of three items; x/y: first, z/y: second (y sorts first), v/w: split. n = 6, three of each verdict:
  // α = 1 − 5·2/(2·3·3) = 4/9.
  assert.equal(same.items, 4)
  assert.equal(same.itemsJudgedTwice, 3)
  assert.equal(same.annotators, 2)
  assert.equal(same.percentAgreement, 2 / 3)
  assert.ok(Math.abs(same.alpha! - 4 / 9) < 1e-12)
})

test('ties and both-bad are verdicts of their own, skip is none, and the last row of an annotator counts', () => {
  const { itemsJudgedTwice, percentAgreement, annotators } = agreement([
    row('ann', 'a', 'b', { verdict: 'tie', preference: 0.5 }),
    row('bob', 'b', 'a', { preference: 0.5 }),
    row('ann', 'c', 'd', { verdict: 'both-bad' }),
    row('bob', 'c', 'd', { verdict: 'both-bad' }),
    row('ann', 'e', 'f'),
    row('bob', 'e', 'f', { verdict: 'skip' }),
    row('ann', 'g', 'h'),
    row('ann', 'h', 'g'),
    row('bob', 'h', 'g'),
  ])
  assert.equal(itemsJudgedTwice, 3)
  assert.equal(percentAgreement, 1)
  assert.equal(annotators, 2)
  const nobody = agreement([row('ann', 'a', 'b')])
  assert.deepEqual([nobody.percentAgreement, nobody.alpha], [null, null])
  assert.equal(agreement([row(undefined, 'a', 'b'), row(undefined, 'a', 'b')]).annotators, 2)
})

test('merging gives the mean preference, whichever way round the rows are', () => {
  const merged = mergeAnnotators([
    row('ann', 'x', 'y', { line: 3, margin: 1, weight: 3 }),
    row('bob', 'y', 'x', { margin: 2 }),
    row('cay', 'y', 'x', { preference: 0.75 }),
    row('dan', 'x', 'y', { verdict: 'both-bad' }),
  ])
  // For x: 1, 0, 0.25: mean 5/12, so y is chosen with 7/12. Margins for y over x: −1, 2, 0. Weights 3, 1, 1.
  assert.equal(merged.length, 1)
  const { preference, ...rest } = merged[0]
  assert.ok(Math.abs(preference! - 7 / 12) < 1e-15)
  assert.deepEqual(rest, { prompt: 'p', chosen: 'y', rejected: 'x', margin: 1 / 3, weight: 5 / 3, line: 3 })
})

test('merging leaves single rows as they are, keeps the order, and leaves out what nobody judged', () => {
  const single = row('ann', 'c', 'd', { preference: 0.2, line: 1 })
  assert.deepEqual(
    mergeAnnotators([
      single,
      row('ann', 'e', 'f', { verdict: 'skip' }),
      row('ann', 'a', 'b'),
      row('bob', 'b', 'a'),
      { ...row('ann', 'a', 'b'), prompt: 'another' },
    ]),
    [
      single,
      { prompt: 'p', chosen: 'a', rejected: 'b', preference: 0.5 },
      { ...row('ann', 'a', 'b'), prompt: 'another' },
    ],
  )
})
