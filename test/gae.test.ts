import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gae } from '../lib/index.ts'
import { ulp } from './reference/numbers.ts'
import { f32, i32, mask, normals, refusal, rows, sameBits } from './worked.ts'

const rewards = rows([1, 2, 3])
const values = rows([0.5, 1, 1.5])

test('three steps by hand', () => {
  // gamma = lambda = 1/2, gamma lambda = 1/4.
  // d_2 = 3 + 0 - 1.5 = 1.5               A_2 = 1.5
  // d_1 = 2 + 1.5 / 2 - 1 = 1.75          A_1 = 1.75 + 1.5 / 4 = 2.125
  // d_0 = 1 + 1 / 2 - 0.5 = 1             A_0 = 1 + 2.125 / 4 = 1.53125
  const { advantages, returns } = gae({ rewards, values }, { gamma: 0.5, lambda: 0.5 })
  sameBits(advantages.data, [1.53125, 2.125, 1.5])
  sameBits(returns.data, [2.03125, 3.125, 3])
})

test('the bootstrap is the value behind the last step that counts', () => {
  // d_2 = 3 + 4 / 2 - 1.5 = 3.5; without a trace (lambda 0) the other two stay.
  const options = { gamma: 0.5, lambda: 0 }
  sameBits(gae({ rewards, values, bootstrap: f32(4) }, options).advantages.data, [1, 1.75, 3.5])
  // Padding behind it changes nothing, in either mode.
  for (const maskMode of ['carry', 'zero'] as const) {
    const { advantages } = gae(
      { rewards: rows([1, 2, 3, 7]), values: rows([0.5, 1, 1.5, 9]), valid: mask([1, 1, 1, 0]), bootstrap: f32(4) },
      { ...options, maskMode },
    )
    sameBits(advantages.data, [1, 1.75, 3.5, 0])
  }
})

test('nothing follows a terminated step, and terminated wins over truncated', () => {
  // Step 1 ends the episode: d_1 = 2 - 1 = 1, A_1 = 1; d_0 = 1 + 1 / 2 - 0.5 = 1, A_0 = 1 + 1 / 4.
  const terminated = mask([0, 1, 0])
  for (const truncated of [undefined, mask([0, 1, 0])]) {
    const { advantages } = gae({ rewards, values, terminated, truncated }, { gamma: 0.5, lambda: 0.5 })
    sameBits(advantages.data, [1.25, 1, 1.5])
  }
})

test('a truncated step takes its next value from nextValues and ends the trace', () => {
  // d_1 = 2 + 6 / 2 - 1 = 4 = A_1; d_0 = 1 + 5 / 2 - 0.5 = 3, A_0 = 3 + 4 / 4; d_2 = 3 + 7 / 2 - 1.5 = 5
  const inputs = { rewards, values, truncated: mask([0, 1, 0]), nextValues: rows([5, 6, 7]) }
  sameBits(gae(inputs, { gamma: 0.5, lambda: 0.5 }).advantages.data, [4, 4, 5])
})

test('a cut whose next value is not known is refused', () => {
  const inner = { rewards, values, truncated: mask([0, 1, 0]), bootstrap: f32(1) }
  assert.throws(() => gae(inner), refusal('ERR_BAD_VALUE', 'truncated'))
  const last = { rewards, values, truncated: mask([0, 0, 1]) }
  assert.throws(() => gae(last), refusal('ERR_BAD_VALUE', 'truncated'))
  assert.doesNotThrow(() => gae({ ...last, bootstrap: f32(1) }))
})

test('a truncated last step has the bootstrap, in sequences of every length', () => {
  for (let T = 1; T <= 49; T++) {
    const [rewards, values] = [normals(1, T), normals(2, T)].map((data) => ({ data, shape: [1, T] }))
    const truncated = { data: Uint8Array.from({ length: T }, (_, t) => Number(t === T - 1)), shape: [1, T] }
    const bootstrap = f32(3)
    const whole = gae({ rewards, values, bootstrap })
    sameBits(gae({ rewards, values, bootstrap, truncated }).advantages.data, whole.advantages.data)
    assert.throws(() => gae({ rewards, values, truncated }), refusal('ERR_BAD_VALUE', 'truncated'))
  }
})

test("a gap costs no decay with 'carry' and decays with 'zero'", () => {
  // Steps 0 and 3 count. carry: A_3 = 8 - 2 = 6; d_0 = 4 + 2 / 2 - 1 = 4, A_0 = 4 + 6 / 4 = 5.5.
  // zero: A_3 = 6; A_2 = 0 + 2 / 2 - 0 + 6 / 4 = 2.5; A_1 = 2.5 / 4 = 0.625; d_0 = 4 + 0 - 1 = 3, A_0 = 3 + 0.625 / 4.
  const inputs = { rewards: rows([4, 999, 999, 8]), values: rows([1, 999, 999, 2]), valid: mask([1, 0, 0, 1]) }
  const options = { gamma: 0.5, lambda: 0.5 }
  sameBits(gae(inputs, options).advantages.data, [5.5, 0, 0, 6])
  sameBits(gae(inputs, { ...options, maskMode: 'zero' }).advantages.data, [3.15625, 0, 0, 6])
})

test('sequences may have lambdas of their own, and the returns another lambda', () => {
  const two = { rewards: rows([1, 2, 3], [1, 2, 3]), values: rows([0.5, 1, 1.5], [0.5, 1, 1.5]) }
  const { advantages, returns } = gae({ ...two, lambdas: f32(0.5, 0) }, { gamma: 0.5, valueLambda: 0 })
  sameBits(advantages.data, [1.53125, 2.125, 1.5, 1, 1.75, 1.5])
  // lambda 0: d_t + V_t
  sameBits(returns.data, [1.5, 2.75, 3, 1.5, 2.75, 3])
})

/** Advantages against sums taken in f64; `size` is what was added up. */
function compare(advantages: ArrayLike<number>, expected: Float64Array, size: Float64Array) {
  let worst = 0
  for (let t = 0; t < expected.length; t++) {
    worst = Math.max(worst, Math.abs(advantages[t] - expected[t]) / ulp(size[t]))
  }
  assert.ok(worst <= 4, `${worst} ULP of the sum of |terms|`)
}

for (const T of [1000, 1_000_000]) {
  const r = normals(1, T)
  const v = normals(2, T)
  const inputs = { rewards: { data: r, shape: [1, T] }, values: { data: v, shape: [1, T] } }

  test(`lambda = 1 telescopes to return - value (T = ${T})`, () => {
    // gamma = 1: A_t = r_t + ... + r_{T-1} - V_t
    const expected = new Float64Array(T)
    const size = new Float64Array(T)
    let [rest, sizes] = [0, 0]
    for (let t = T - 1; t >= 0; t--) {
      rest += r[t]
      sizes += Math.abs(r[t]) + Math.abs(v[t]) + (t + 1 < T ? Math.abs(v[t + 1]) : 0)
      expected[t] = rest - v[t]
      size[t] = sizes
    }
    compare(gae(inputs, { gamma: 1, lambda: 1 }).advantages.data, expected, size)
  })

  test(`lambda = 0 is the one-step error (T = ${T})`, () => {
    const next = (t: number) => (t + 1 < T ? v[t + 1] : 0)
    const expected = Float64Array.from(r, (x, t) => x + 0.99 * next(t) - v[t])
    const size = Float64Array.from(r, (x, t) => Math.abs(x) + 0.99 * Math.abs(next(t)) + Math.abs(v[t]))
    compare(gae(inputs, { gamma: 0.99, lambda: 0 }).advantages.data, expected, size)
  })
}

test('a gap that costs no decay changes no bit, in sequences of every length', () => {
  for (let T = 2; T <= 49; T++) {
    const [rewards, values, nextValues] = [1, 2, 3].map((seed) => normals(seed, T))
    const ends = [4, 5].map((seed) => Uint8Array.from(normals(seed, T), (x) => Number(x > 1.5)))
    // What does not count is NaN, and stands before step `gap`.
    const gap = 1 + (T % (T - 1))
    const apart = <A extends Float32Array | Uint8Array>(x: A, filler: number) => {
      const data = new (x.constructor as new (length: number) => A)(T + 1).fill(filler) as A
      data.set(x.subarray(0, gap))
      data.set(x.subarray(gap), gap + 1)
      return { data, shape: [1, T + 1] }
    }
    const whole = <A extends Float32Array | Uint8Array>(data: A) => ({ data, shape: [1, T] })
    const inputs = (place: typeof whole | typeof apart) => ({
      rewards: place(rewards, Number.NaN),
      values: place(values, Number.NaN),
      nextValues: place(nextValues, Number.NaN),
      terminated: place(ends[0], 1),
      truncated: place(ends[1], 1),
    })
    const valid = apart(new Uint8Array(T).fill(1), 0)
    const options = { gamma: 0.99, lambda: 0.95 }
    for (const name of ['advantages', 'returns'] as const) {
      sameBits(
        gae({ ...inputs(apart), valid }, options)[name].data.filter((_, t) => t !== gap),
        gae(inputs(whole), options)[name].data,
      )
      // Without next values, those of the step behind it follow, and the bootstrap.
      const less = (place: typeof whole | typeof apart) => ({
        ...inputs(place),
        nextValues: undefined,
        truncated: undefined,
        bootstrap: f32(2),
      })
      sameBits(
        gae({ ...less(apart), valid }, options)[name].data.filter((_, t) => t !== gap),
        gae(less(whole), options)[name].data,
      )
    }
  }
})

test('packed sequences equal padded ones bit for bit, in both modes', () => {
  const lengths = [4097, 1, 0, 513]
  const N = 4097 + 1 + 513
  const T = 5000
  const offsets = i32(0, 4097, 4098, 4098, N)
  const flat = { rewards: normals(5, N), values: normals(6, N) }
  const pad = (x: Float32Array) => {
    const data = new Float32Array(4 * T).fill(Number.NaN)
    for (const [b, length] of lengths.entries()) data.set(x.subarray(offsets[b], offsets[b] + length), b * T)
    return { data, shape: [4, T] }
  }
  const valid = { data: new Uint8Array(4 * T), shape: [4, T] }
  for (const [b, length] of lengths.entries()) valid.data.fill(1, b * T, b * T + length)
  const bootstrap = f32(1, 2, 3, 4)
  for (const maskMode of ['carry', 'zero'] as const) {
    const options = { gamma: 0.99, lambda: 0.95, maskMode }
    const short = gae({ ...flat, offsets, bootstrap }, options)
    const long = gae({ rewards: pad(flat.rewards), values: pad(flat.values), valid, bootstrap }, options)
    lengths.forEach((length, b) => {
      for (const name of ['advantages', 'returns'] as const) {
        sameBits(
          long[name].data.subarray(b * T, b * T + length),
          short[name].data.subarray(offsets[b], offsets[b] + length),
        )
      }
    })
  }
})
