import assert from 'node:assert/strict'
import { test } from 'node:test'
import { swiglu, swigluBackward } from '../lib/index.ts'
import { assertClose } from './reference/model/close.ts'
import { f32, normals, seeded } from './reference/model/common.ts'

const row = (...values: number[]) => f32(values, [1, values.length])
// sigmoid(ln 3) = 1 / (1 + 1/3) = 3/4
const LN3 = Math.log(3)

test('swiglu is gate times its sigmoid times up', () => {
  const { y } = swiglu({ gate: row(LN3, -LN3), up: row(2, 2) })
  assertClose(y.data, [LN3 * (3 / 4) * 2, -LN3 * (1 / 4) * 2])
})

test('swigluBackward gives the worked gradients', () => {
  const { gradGate, gradUp } = swigluBackward({ gradY: row(10), gate: row(LN3), up: row(2) })
  assertClose(gradGate.data, [10 * 2 * (3 / 4) * (1 + LN3 * (1 / 4))])
  assertClose(gradUp.data, [10 * LN3 * (3 / 4)])
})

test('a gate of 0 gives 0, with slope one half', () => {
  assert.deepEqual([...swiglu({ gate: row(0), up: row(5) }).y.data], [0])
  const { gradGate, gradUp } = swigluBackward({ gradY: row(3), gate: row(0), up: row(5) })
  assert.deepEqual([...gradGate.data], [3 * 5 * 0.5])
  assert.deepEqual([...gradUp.data], [0])
})

test('a far gate is open or shut, without overflow', () => {
  const { y } = swiglu({ gate: row(1e4, -1e4, 200, -200), up: row(3, 3, 3, 3) })
  assertClose(y.data, [3e4, 0, 600, 0])
  const { gradGate } = swigluBackward({ gradY: row(1, 1), gate: row(1e4, -1e4), up: row(3, 3) })
  assertClose(gradGate.data, [3, 0])
})

test('a gate and its negative differ by the gate itself: sigmoid(x) + sigmoid(-x) = 1', () => {
  const gate = normals(seeded(1), [5, 33], 4)
  const ones = f32(new Float32Array(gate.data.length).fill(1), gate.shape)
  const there = swiglu({ gate, up: ones }).y.data
  const back = swiglu({
    gate: f32(
      gate.data.map((x) => -x),
      gate.shape,
    ),
    up: ones,
  }).y.data
  assertClose(
    there.map((value, i) => value - back[i]),
    gate.data,
  )
})

test('in place the bits are the same', () => {
  const [gate, up] = [normals(seeded(2), [3, 50]), normals(seeded(3), [3, 50])]
  const fresh = swiglu({ gate, up }).y.data.slice()
  swiglu({ gate, up }, {}, { out: { y: gate } })
  assert.deepEqual(gate.data, fresh)
})
