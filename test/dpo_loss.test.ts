import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dpoLoss, readStats } from '../lib/index.ts'
import { allNear, f32, near, normals, refusal, sameBits, sum } from './worked.ts'

type Options = NonNullable<Parameters<typeof dpoLoss>[1]>

/**
 * One pair with log-ratios c = 2 (chosen: -3 against -5) and q = -1 (rejected: -7 against -6), at beta 1/2:
 * rewards 1 and -1/2, D = 3, beta D = 3/2. s(3/2) = 0.8175744762, s(1) = 0.7310585786, s(-1/2) = 0.3775406688.
 */
const pair = { policyChosen: f32(-3), policyRejected: f32(-7), refChosen: f32(-5), refRejected: f32(-6) }

const worked: { options: Options; loss: number; byChosen: number; byRejected: number; why: string }[] = [
  {
    options: { kind: 'sigmoid' },
    why: '-log s(3/2); beta (s(3/2) - 1)',
    loss: 0.201413278,
    byChosen: -0.0912127619,
    byRejected: 0.0912127619,
  },
  {
    options: { kind: 'sigmoid', labelSmoothing: 0.2 },
    why: '0.8 * 0.2014132780 + 0.2 * 1.7014132780; beta (s(3/2) - 0.8)',
    loss: 0.501413278,
    byChosen: 0.0087872381,
    byRejected: -0.0087872381,
  },
  {
    options: { kind: 'robust', labelSmoothing: 0.2 },
    why: '(0.8 * 0.2014132780 - 0.2 * 1.7014132780) / 0.6; beta (-0.8 * 0.1824255238 - 0.2 * 0.8175744762) / 0.6',
    loss: -0.298586722,
    byChosen: -0.2578794286,
    byRejected: 0.2578794286,
  },
  {
    options: { kind: 'hinge', beta: 0.25 },
    why: '1 - 3/4; -beta',
    loss: 0.25,
    byChosen: -0.25,
    byRejected: 0.25,
  },
  {
    options: { kind: 'ipo', lengthNormalize: false },
    why: '(3 - 1 / (2 * 1/2))^2; 2 * 2',
    loss: 4,
    byChosen: 4,
    byRejected: -4,
  },
  {
    options: { kind: 'exo-pair', labelSmoothing: 0.1 },
    why: "0.8175744762 (-0.2014132780 - log 0.9) + 0.1824255238 (-1.7014132780 - log 0.1); beta s'(3/2) (3/2 - log 9)",
    loss: 0.0311387964,
    byChosen: -0.051994286,
    byRejected: 0.051994286,
  },
  {
    options: { kind: 'nca-pair' },
    why: '0.3132616875 + 1.3132616875 / 2 + 0.4740769842 / 2; beta (s(1) - 1 + s(1) / 2), beta s(-1/2) / 2',
    loss: 1.2069310234,
    byChosen: 0.0482939339,
    byRejected: 0.0943851672,
  },
  {
    options: { kind: 'bco-pair', rewardShift: 0.25 },
    why: '-2 log s(3/4); beta (s(3/4) - 1), beta s(-3/4)',
    loss: 0.7737420122,
    byChosen: -0.1604106504,
    byRejected: 0.1604106504,
  },
  {
    options: { kind: 'sppo-hard' },
    why: '(2 - 1)^2 + (-1 + 1)^2; 2 * 1, 2 * 0',
    loss: 1,
    byChosen: 2,
    byRejected: 0,
  },
  {
    options: { kind: 'apo-zero' },
    why: '1 - s(1) + s(-1/2); -beta s(1) s(-1), beta s(-1/2) s(1/2)',
    loss: 0.6464820902,
    byChosen: -0.0983059667,
    byRejected: 0.1175018561,
  },
  {
    options: { kind: 'apo-down' },
    why: "s(1) + 1 - s(3/2); beta (s'(1) - s'(3/2)), beta s'(3/2)",
    loss: 0.9134841024,
    byChosen: 0.0237327407,
    byRejected: 0.074573226,
  },
  {
    options: { kind: 'discopop', temperature: 1 },
    why: '0.2014132780 * 0.1824255238 + e^-1.5 * 0.8175744762',
    loss: 0.2191684465,
    byChosen: -0.1062327997,
    byRejected: 0.1062327997,
  },
]

for (const { options, loss, byChosen, byRejected, why } of worked) {
  const name = Object.entries(options).map(([key, value]) => `${key} ${value}`)
  test(`${name.join(', ')}: ${why}`, () => {
    const result = dpoLoss(pair, { beta: 0.5, ...options })
    // The figures above have ten digits.
    const close = (actual: number, expected: number) =>
      assert.ok(Math.abs(actual - expected) < 2e-10 + 2 ** -24 * Math.abs(expected), `${actual}, expected ${expected}`)
    close(result.loss.item(), loss)
    close(result.losses.item(), loss)
    close(result.gradPolicyChosen.item(), byChosen)
    close(result.gradPolicyRejected.item(), byRejected)
    near(result.chosenReward.item(), (options.beta ?? 0.5) * 2)
    near(result.rejectedReward.item(), (options.beta ?? 0.5) * -1)
  })
}

test('length-normalised kinds average the log-ratios, and never the rewards', () => {
  // c / 4 - q / 2 = 1; -log s(1/2) = 0.4740769842; beta s(-1/2) / 4 and / 2
  const lengths = { chosenLength: f32(4), rejectedLength: f32(2) }
  const result = dpoLoss({ ...pair, ...lengths }, { kind: 'sigmoid-norm', beta: 0.5 })
  near(result.loss.item(), Math.log1p(Math.exp(-0.5)))
  const slope = 0.5 / (1 + Math.exp(0.5))
  allNear([result.gradPolicyChosen.item(), result.gradPolicyRejected.item()], [-slope / 4, slope / 2])
  sameBits([result.chosenReward.item(), result.rejectedReward.item()], [1, -0.5])
  // IPO averages by default: (1 - 1)^2 at its target.
  const ipo = dpoLoss({ ...pair, ...lengths }, { kind: 'ipo', beta: 0.5 })
  assert.equal(ipo.loss.item(), 0)
  assert.equal(Math.abs(ipo.gradPolicyChosen.item()), 0)
})

const KINDS = [
  'sigmoid',
  'robust',
  'hinge',
  'ipo',
  'exo-pair',
  'nca-pair',
  'bco-pair',
  'sppo-hard',
  'apo-zero',
  'apo-down',
  'discopop',
  'sigmoid-norm',
] as const
const OF_MARGIN = ['sigmoid', 'robust', 'hinge', 'ipo', 'exo-pair', 'discopop', 'sigmoid-norm'] as const

const B = 300
const batch = {
  policyChosen: normals(1, B, 8),
  policyRejected: normals(2, B, 8),
  refChosen: normals(3, B, 8),
  refRejected: normals(4, B, 8),
}
const plain = (kind: (typeof KINDS)[number]): Options => ({ kind, lengthNormalize: false, beta: 0.3 })

test('swapping chosen and rejected flips the margin', () => {
  const swapped = {
    policyChosen: batch.policyRejected,
    policyRejected: batch.policyChosen,
    refChosen: batch.refRejected,
    refRejected: batch.refChosen,
  }
  const there = readStats(dpoLoss(batch))
  const back = readStats(dpoLoss(swapped))
  near(back.margin, -there.margin)
  near(back.accuracy, 1 - there.accuracy)
})

test('a policy equal to its reference costs log 2 and ties', () => {
  const same = { ...batch, refChosen: batch.policyChosen, refRejected: batch.policyRejected }
  const result = dpoLoss(same)
  near(result.loss.item(), Math.LN2)
  assert.equal(readStats(result).accuracy, 0.5)
  sameBits(result.gradPolicyChosen.data, new Float32Array(B).fill(-0.05 / B))
})

test('kinds of the margin alone pull with equal and opposite force', () => {
  for (const kind of OF_MARGIN) {
    const { gradPolicyChosen, gradPolicyRejected } = dpoLoss(batch, plain(kind))
    sameBits(
      gradPolicyRejected.data.map((x) => x + 0),
      gradPolicyChosen.data.map((x) => 0 - x),
    )
  }
})

test('without references it is the same as with references of 0', () => {
  const { policyChosen, policyRejected } = batch
  const zero = new Float32Array(B)
  for (const kind of KINDS) {
    const free = dpoLoss({ policyChosen, policyRejected }, plain(kind))
    const zeros = dpoLoss({ policyChosen, policyRejected, refChosen: zero, refRejected: zero }, plain(kind))
    sameBits(free.losses.data, zeros.losses.data)
    sameBits(free.gradPolicyChosen.data, zeros.gradPolicyChosen.data)
  }
})

test('lengths of 1 change nothing', () => {
  const one = new Float32Array(B).fill(1)
  for (const kind of KINDS) {
    const summed = dpoLoss(batch, plain(kind))
    const lengths = { chosenLength: one, rejectedLength: one }
    const averaged = dpoLoss({ ...batch, ...lengths }, { ...plain(kind), lengthNormalize: true })
    // Plain pairs are taken in f32.
    if (kind.startsWith('sigmoid')) allNear(averaged.losses.data, summed.losses.data, 3)
    else sameBits(averaged.losses.data, summed.losses.data)
  }
})

test('smoothing is a mixture with the swapped pair, and robust undoes it', () => {
  const e = 0.2
  const swapped = { policyChosen: batch.policyRejected, policyRejected: batch.policyChosen }
  const free = { policyChosen: batch.policyChosen, policyRejected: batch.policyRejected }
  const there = dpoLoss(free).losses.data
  const back = dpoLoss(swapped).losses.data
  allNear(
    dpoLoss(free, { labelSmoothing: e }).losses.data,
    Array.from(there, (loss, b) => (1 - e) * loss + e * back[b]),
    3, // Plain pairs are taken in f32.
  )
  // In expectation over labels that are wrong with probability e, robust is the clean loss.
  const robust = { kind: 'robust' as const, labelSmoothing: e }
  const [right, wrong] = [dpoLoss(free, robust).losses.data, dpoLoss(swapped, robust).losses.data]
  for (let b = 0; b < B; b++) {
    assert.ok(
      Math.abs((1 - e) * right[b] + e * wrong[b] - there[b]) < 4e-7 * (1 + Math.abs(right[b]) + Math.abs(wrong[b])),
    )
  }
})

test('the loss is the weighted mean of the losses', () => {
  const weight = normals(5, B).map(Math.abs)
  for (const kind of KINDS) {
    const { loss, losses } = dpoLoss({ ...batch, weight }, plain(kind))
    const expected = sum(Array.from(losses.data, (x, b) => x * weight[b])) / B
    near(loss.item(), expected, 4, kind)
  }
})

test('margins of 1e4 either way are finite, and never NaN', () => {
  const far = { policyChosen: f32(-1e4, 0), policyRejected: f32(0, -1e4) }
  for (const kind of KINDS) {
    const options = kind === 'exo-pair' ? plain(kind) : { ...plain(kind), beta: 1 }
    const { losses, gradPolicyChosen, gradPolicyRejected } = dpoLoss(far, options)
    for (const { data } of [losses, gradPolicyChosen, gradPolicyRejected]) {
      assert.ok(data.every(Number.isFinite), `${kind}: ${data}`)
    }
  }
  // -log s(-1e4) = 1e4, and -log s(1e4) = 0.
  sameBits(dpoLoss(far, { beta: 1 }).losses.data, [1e4, 0])
})

test('bad combinations are refused', () => {
  const { policyChosen, policyRejected, refChosen } = pair
  assert.throws(() => dpoLoss({ policyChosen, policyRejected, refChosen }), refusal('ERR_ARGUMENT', 'refRejected'))
  assert.throws(() => dpoLoss(pair, { kind: 'ipo' }), refusal('ERR_ARGUMENT', 'chosenLength'))
  assert.throws(() => dpoLoss(pair, { kind: 'hinge', labelSmoothing: 0.1 }), refusal('ERR_OPTION', 'labelSmoothing'))
  assert.throws(() => dpoLoss(pair, { kind: 'robust', labelSmoothing: 0.5 }), refusal('ERR_OPTION', 'labelSmoothing'))
  assert.throws(() => dpoLoss(pair, { kind: 'exo-pair', labelSmoothing: 0 }), refusal('ERR_OPTION', 'labelSmoothing'))
  const empty = { ...pair, chosenLength: f32(0), rejectedLength: f32(2) }
  assert.throws(() => dpoLoss(empty, { kind: 'ipo' }), refusal('ERR_BAD_VALUE', 'chosenLength'))
})

test('a pair whose log-ratio leaves f32 on the way to a reward is still in the right order', () => {
  const result = dpoLoss(
    { policyChosen: f32(2e38), policyRejected: f32(0), refChosen: f32(-2e38), refRejected: f32(0) },
    { beta: 0.1 },
  )
  // 0.1 * 4e38 = 4e37, though 4e38 is no f32 number.
  near(readStats(result).chosenReward / 4e37, 1)
  assert.equal(readStats(result).accuracy, 1)
  assert.equal(result.loss.data[0], 0)
})
