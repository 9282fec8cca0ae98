/**
 * linear on CUDA devices opened with `matmul: 'fast'`: against products in float64 of the inputs as they are, and of the inputs
 * rounded to tf32 as tensor cores see them, so that a wrong rounding shows as well as a wrong sum.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Device, openDevice, PrefgradError } from '../lib/index.ts'
import { assertNear } from './conformance.ts'
import { cudaDevice, cudaDevices, SCHEDULES, withSchedule } from './cuda_world.ts'
import { f32, normals, rowsOf, seeded, UNDERFLOW, UNIT } from './reference/model/common.ts'
import type { Inputs, Sample, Values } from './reference/types.ts'
import { runOn } from './run_on.ts'
import { assertSameBits, eachSample, type Run, referenceOf, rows, samplesOf, withDefaults } from './run_op.ts'

/** Either factor is rounded to 11 bits; then their product is off by twice that, and by its square. */
const ROUNDED = 2 * 2 ** -11 + 2 ** -22
/**
 * Roundings of a sum, per term, in units of f32: the emulator has one. A tensor core cuts off what stands behind the last bit of
 * the largest of a step's nine numbers, twice a rounding each.
 */
const ROUNDINGS = { 'cuda:emulated': 1, cuda: 4 }

const word = new DataView(new ArrayBuffer(4))
/** To the nearest of 10 bits behind the point, away from 0 from halfway. */
const tf32 = (x: number): number => {
  word.setFloat32(0, x)
  word.setUint32(0, (word.getUint32(0) + 0x1000) & ~0x1fff)
  return word.getFloat32(0)
}

interface Product {
  rows: number
  columns: number
  terms: number
  left: (row: number, k: number) => number
  right: (k: number, column: number) => number
}

/** What a call multiplies, by output. */
const productsOf = (name: string, { x, weight, gradY }: Inputs): Record<string, Product> => {
  const [O, I] = weight.shape
  const N = rowsOf(x)
  const w = (o: number, i: number): number => weight.data[o * I + i]
  const of = (n: number, i: number): number => x.data[n * I + i]
  if (name === 'linear') return { y: { rows: N, columns: O, terms: I, left: of, right: (i, o) => w(o, i) } }
  const from = (n: number, o: number): number => gradY.data[n * O + o]
  return {
    gradX: { rows: N, columns: I, terms: O, left: from, right: w },
    gradWeight: { rows: O, columns: I, terms: N, left: (o, n) => from(n, o), right: of },
  }
}

/** A result against its product, and what else is added at the end: a bias, or what was there before. */
const assertProduct = (
  what: string,
  got: ArrayLike<number>,
  { rows, columns, terms, left, right }: Product,
  added: (at: number) => readonly number[],
  roundings: number,
): void => {
  assert.equal(got.length, rows * columns, what)
  for (let at = 0; at < got.length; at++) {
    const [row, column] = [Math.floor(at / columns), at % columns]
    const more = added(at)
    let exact = more.reduce((sum, x) => sum + x, 0)
    let rounded = exact
    let size = 0
    for (let k = 0; k < terms; k++) {
      const [l, r] = [left(row, k), right(k, column)]
      exact += l * r
      rounded += tf32(l) * tf32(r)
      size += Math.abs(l * r)
    }
    const all = size * (1 + ROUNDED) + more.reduce((sum, x) => sum + Math.abs(x), 0)
    // Terms in groups of 8, and two more additions: of parts, of what is added. A hundredth for roundings of roundings.
    const sums = 1.01 * roundings * UNIT * (terms + 8 + 2) * all + (terms + 8) * UNDERFLOW
    const from = Math.abs(got[at] - exact)
    assert.ok(from <= ROUNDED * size + sums, `${what}[${at}] is ${got[at]}, should be ${exact}`)
    const off = Math.abs(got[at] - rounded)
    assert.ok(off <= sums, `${what}[${at}] is ${got[at]}, should be ${rounded} of rounded inputs within ${sums}`)
  }
}

const NO_BIAS: Values = { data: [], shape: [0] }

const assertProducts = (kind: keyof typeof ROUNDINGS, name: string, sample: Sample, got: Run, onto?: Run): void => {
  const { bias = NO_BIAS } = sample.inputs
  for (const [key, product] of Object.entries(productsOf(name, sample.inputs))) {
    if (got[key] === undefined) continue
    const added = (at: number) => [
      ...(bias.data.length > 0 ? [bias.data[at % product.columns]] : []),
      ...(onto === undefined ? [] : [onto[key][at]]),
    ]
    assertProduct(key, got[key], product, added, ROUNDINGS[kind])
  }
}

const random = seeded(73)
const call = (name: string, N: number, I: number, O: number): Sample => ({
  name: `${N} rows of ${I} for ${O}`,
  inputs: {
    x: normals(random, [N, I]),
    weight: normals(random, [O, I]),
    ...(name === 'linear' ? { bias: normals(random, [O]) } : { gradY: normals(random, [N, O]) }),
  },
})
/** Beside the samples of every device: tiles that are full and not, groups of 16 terms that are full and not, odd and even. */
const SHAPES = [
  [64, 16, 64],
  [65, 15, 63],
  [130, 36, 260],
  [33, 130, 66],
  [1100, 8, 12],
] as const

for (const kind of await cudaDevices()) {
  const fast = await cudaDevice(kind, { matmul: 'fast' })
  const schedules = kind === 'cuda' ? ['', ''] : SCHEDULES

  for (const name of ['linear', 'linearBackward']) {
    test(`fast ${name} is off by what tf32 rounds away, in the same bits every time, on ${kind}`, async () => {
      const samples = [...samplesOf(name), ...SHAPES.map(([N, I, O]) => call(name, N, I, O))]
      await eachSample(
        name,
        async (sample) => {
          const got = await withSchedule(schedules[0], () => runOn(fast, name, sample))
          assertProducts(kind, name, sample, got)
          for (const schedule of schedules.slice(1)) {
            const again = await withSchedule(schedule, () => runOn(fast, name, sample))
            assertSameBits(got, again, `on schedule ${schedule}`)
          }
          const aligned = await withSchedule(schedules[0], () => runOn(fast, name, sample, { place: 'aligned' }))
          assertSameBits(got, aligned, 'where vectors may begin')
        },
        samples,
      )
    })
  }

  test(`fast gradients are added to what is there on ${kind}`, async () => {
    for (const [N, I, O] of [
      [40, 20, 33],
      [1100, 6, 10],
    ]) {
      const sample = call('linearBackward', N, I, O)
      const onto = { gradX: normals(random, [N, I]).data, gradWeight: normals(random, [O, I]).data }
      for (const place of ['odd', 'aligned'] as const) {
        const got = await runOn(fast, 'linearBackward', sample, { onto, place })
        assertProducts(kind, 'linearBackward', sample, got, onto)
      }
    }
  })

  test(`factors are rounded to 11 bits, halfway away from 0, on ${kind}`, async () => {
    const [one, half, less] = [1, 2 ** -11, 2 ** -23]
    const cases = [
      [one + half, one + 2 * half],
      [one + half - less, one],
      [one + 3 * half, one + 4 * half],
      [one + 3 * half - less, one + 2 * half],
      [2 - half, 2],
      [2 ** -100 * (one + half), 2 ** -100 * (one + 2 * half)],
      [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
      [Number.NaN, Number.NaN],
      [0, 0],
    ].flatMap(([x, y]) => [
      [x, y],
      [-x, -y],
    ])
    const numbers = f32(
      cases.map(([x]) => x),
      [cases.length, 1],
    )
    // -0 is added to 0.
    const rounded = cases.map(([, y]) => y + 0)
    const to = f32([1], [1, 1])
    const left = await runOn(fast, 'linear', { name: '', inputs: { x: numbers, weight: to } })
    assert.deepEqual([...left.y], rounded, 'as x')
    const right = await runOn(fast, 'linear', { name: '', inputs: { x: to, weight: numbers } })
    assert.deepEqual([...right.y], rounded, 'as weight')
    const inputs = {
      gradY: numbers,
      x: f32(
        numbers.data.map(() => 0),
        numbers.shape,
      ),
      weight: to,
    }
    const tile = await runOn(fast, 'linearBackward', { name: '', inputs, options: { wantWeight: false } })
    assert.deepEqual([...tile.gradX], rounded, 'in a tile')
  })

  test(`what one row and one column hold reaches no other, even NaN, on ${kind}`, async () => {
    const sample = call('linear', 70, 24, 70)
    const { x, weight, bias } = sample.inputs as Record<string, { data: Float32Array; shape: readonly number[] }>
    const clean = (await runOn(fast, 'linear', sample)).y
    const [row, column] = [37, 69]
    const bad = { x: { ...x, data: x.data.slice() }, weight: { ...weight, data: weight.data.slice() }, bias }
    bad.x.data[row * 24 + 5] = Number.NaN
    bad.weight.data[column * 24 + 23] = Number.POSITIVE_INFINITY
    const { y } = await runOn(fast, 'linear', { name: '', inputs: bad })
    y.forEach((value, at) => {
      const [r, c] = [Math.floor(at / 70), at % 70]
      if (r === row) assert.ok(Number.isNaN(value), `[${r}, ${c}] is ${value}`)
      else if (c === column) assert.ok(!Number.isFinite(value), `[${r}, ${c}] is ${value}`)
      else assert.equal(value, clean[at], `[${r}, ${c}]`)
    })
  })

  test(`a device opened as ever multiplies in true f32, also beside a fast one, on ${kind}`, async () => {
    const exact = await cudaDevice(kind)
    const spelled = await cudaDevice(kind, { matmul: 'exact' })
    const sample = call('linear', 70, 40, 20)
    const { compute } = referenceOf('linear')
    const expected = compute(sample.inputs, withDefaults(rows.linear))
    const near = (device: Device) => async () =>
      assertNear('linear', sample, await runOn(device, 'linear', sample), expected, 'cuda')
    await near(exact)()
    await near(spelled)()
    await assert.rejects(near(fast), /y\[/, 'tf32 is not within a chain in f32')
    await near(exact)()
  })

  test(`matmul is 'exact' or 'fast' on ${kind}`, async () => {
    for (const matmul of ['x', '', 'FAST', 1, true, null, {}]) {
      await assert.rejects(openDevice(kind, { matmul } as object), (error: PrefgradError) => {
        assert.ok(error instanceof PrefgradError)
        assert.deepEqual([error.code, error.arg], ['ERR_OPTION', 'matmul'])
        assert.match(error.message, /matmul must be 'exact' or 'fast', and is /)
        return true
      })
    }
  })
}

test('other devices have no such option', async () => {
  for (const name of ['cpu', 'webgpu'] as const) {
    await assert.rejects(openDevice(name, { matmul: 'fast' } as object), (error: PrefgradError) => {
      assert.ok(error instanceof PrefgradError)
      assert.match(error.message, /matmul/)
      return error.code === 'ERR_ARGUMENT'
    })
  }
})
