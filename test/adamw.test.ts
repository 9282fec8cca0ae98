import assert from 'node:assert/strict'
import { test } from 'node:test'
import { adamw } from '../lib/index.ts'
import { allNear, f32, i32, near, normals, refusal, sameBits } from './worked.ts'

/** A fresh state around these parameters. */
const fresh = (...param: number[]) => ({
  param: f32(...param),
  m: new Float32Array(param.length),
  v: new Float32Array(param.length),
  step: i32(0),
})

test('the first step goes lr against the sign of the gradient', () => {
  // m = 0.1 g, v = 0.001 g^2; corrected m^ = g, v^ = g^2: the step is lr g / (|g| + 1e-8), about lr sign(g).
  const state = fresh(1, 1, 1)
  const { refused } = adamw({ ...state, grad: f32(0.5, -2, 0) }, { lr: 0.25 })
  allNear(state.param, [1 - (0.25 * 0.5) / (0.5 + 1e-8), 1 + (0.25 * 2) / (2 + 1e-8), 1], 2)
  allNear(state.m, [0.05, -0.2, 0], 2)
  allNear(state.v, [0.00025, 0.004, 0], 2)
  assert.equal(state.step[0], 1)
  assert.equal(refused.item(), 0)
})

test('the second step by hand', () => {
  // beta 1/2 and 3/4, epsilon 0, g = 1 then -2:
  // m: 1/2, then 1/4 - 1 = -3/4; / (1 - 1/4) = -1
  // v: 1/4, then 3/16 + 1 = 19/16; / (1 - 9/16) = 19/7
  // p: 0 - 1, then -1 + 1 / sqrt(19/7)
  const state = fresh(0)
  const options = { lr: 1, beta1: 0.5, beta2: 0.75, epsilon: 0 }
  adamw({ ...state, grad: f32(1) }, options)
  near(state.param[0], -1, 2)
  adamw({ ...state, grad: f32(-2) }, options)
  near(state.m[0], -0.75, 2)
  near(state.v[0], 19 / 16, 2)
  near(state.param[0], -1 + Math.sqrt(7 / 19), 4)
  assert.equal(state.step[0], 2)
})

test('decay is decoupled: it needs no gradient and leaves the moments alone', () => {
  // 1 - 0.5 * 0.25 = 0.875
  const state = fresh(1, -2)
  adamw({ ...state, grad: f32(0, 0) }, { lr: 0.5, weightDecay: 0.25 })
  sameBits(state.param, [0.875, -1.75])
  sameBits(state.m, [0, 0])
  sameBits(state.v, [0, 0])
})

test('a norm above maxNorm scales the gradient down to it', () => {
  // |(3, 4)| = 5 > 1: g = (0.6, 0.8), m = 0.1 g. Below it nothing changes.
  const state = fresh(0, 0)
  adamw({ ...state, grad: f32(3, 4), norm: f32(5) }, { lr: 0, maxNorm: 1 })
  allNear(state.m, [0.06, 0.08], 2)
  const free = fresh(0, 0)
  adamw({ ...free, grad: f32(3, 4), norm: f32(5) }, { lr: 0, maxNorm: 6 })
  allNear(free.m, [0.3, 0.4], 2)
  // gradScale comes first: 5 / 8 is below 1, so g = (3, 4) / 8.
  const scaled = fresh(0, 0)
  adamw({ ...scaled, grad: f32(3, 4), norm: f32(5) }, { lr: 0, maxNorm: 1, gradScale: 1 / 8 })
  allNear(scaled.m, [0.3 / 8, 0.4 / 8], 2)
})

test('a gradient that is not finite changes nothing at all', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const norm of [undefined, f32(bad)]) {
      const P = 70_000
      const state = { param: normals(1, P), m: normals(2, P), v: normals(3, P).map(Math.abs), step: i32(41) }
      const before = structuredClone(state)
      const grad = normals(4, P)
      grad[66_000] = bad
      const { refused } = adamw({ ...state, grad, norm }, { lr: 0.1, weightDecay: 0.1 })
      assert.equal(refused.item(), 1)
      assert.deepEqual(state, before)
    }
  }
})

test('padding between segments is left alone, and segments have their own decay', () => {
  // Segments (0, 2) and (4, 1); without a gradient only the decay moves: 1 - 0.5 * 1 and 1 - 0.5 * 0.5.
  const state = fresh(1, 1, 7, 7, 1, 7)
  const segments = { data: i32(0, 2, 4, 1), shape: [2, 2] }
  adamw({ ...state, grad: new Float32Array(6), segments, decay: f32(1, 0.5) }, { lr: 0.5 })
  sameBits(state.param, [0.5, 0.5, 7, 7, 0.75, 7])
  adamw({ ...state, grad: f32(1, 1, 9, 9, 1, 9), segments }, { lr: 0 })
  sameBits([state.m[2], state.m[3], state.m[5], state.v[2]], [0, 0, 0, 0])
  assert.ok(state.m[0] > 0 && state.m[4] > 0)
})

test('segments outside the parameters are refused before anything moves', () => {
  const state = fresh(1, 2)
  const segments = { data: i32(0, 3), shape: [1, 2] }
  const call = () => adamw({ ...state, grad: f32(1, 1), segments }, { lr: 1 })
  assert.throws(call, refusal('ERR_OFFSETS', 'segments'))
})

test('the unit of the gradient does not matter without epsilon', () => {
  // m / sqrt(v) is the same for gradients in any unit; a power of two changes no bit.
  const run = (unit: number) => {
    const state = fresh(...normals(5, 100))
    for (let step = 0; step < 5; step++) {
      const grad = normals(6 + step, 100).map((g) => unit * g)
      adamw({ ...state, grad }, { lr: 0.01, epsilon: 0 })
    }
    return state
  }
  const [one, four] = [run(1), run(4)]
  sameBits(four.param, one.param)
  sameBits(
    four.v,
    Array.from(one.v, (v) => 16 * v),
  )
})

test('late steps need no correction any more', () => {
  // After 10^6 steps 1 - 0.999^step is 1: p - lr m / (sqrt(v) + eps), with m = 0.9 + 0.1 and v = 0.999 + 0.001.
  const state = { param: f32(0), m: f32(1), v: f32(1), step: i32(1_000_000) }
  adamw({ ...state, grad: f32(1) }, { lr: 0.5, epsilon: 0 })
  near(state.param[0], -0.5, 2)
})

test('maxNorm needs the norm', () => {
  const call = () => adamw({ ...fresh(1), grad: f32(1) }, { lr: 1, maxNorm: 1 })
  assert.throws(call, refusal('ERR_ARGUMENT', 'norm'))
})
