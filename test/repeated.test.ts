/** A call on the tensors and options of the call before takes a short way; it must be seen by nothing but a clock. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bradleyTerryLoss, gradNorm, openDevice, ppoValueLoss, type Tensor } from '../lib/index.ts'

const pairs = (seed: number) => Float32Array.from({ length: 5 }, (_, i) => Math.sin(seed + i))

const world = async () => {
  const cpu = await openDevice('cpu', { threads: 1 })
  const inputs = { chosen: cpu.tensor(pairs(1)), rejected: cpu.tensor(pairs(2)) }
  return { cpu, inputs, out: { ...bradleyTerryLoss(inputs) } }
}
const bits = (tensors: Record<string, Tensor | undefined>) =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, [...(tensor!.data as Float32Array)]]))

test('it runs on what the tensors hold now', async () => {
  const { inputs, out } = await world()
  for (let seed = 3; seed < 8; seed++) {
    inputs.chosen.write(pairs(seed))
    const fresh = bits(bradleyTerryLoss(inputs))
    assert.deepEqual(bits(bradleyTerryLoss(inputs, {}, { out })), fresh)
    assert.deepEqual(bits(bradleyTerryLoss(inputs, {}, { out })), fresh)
  }
})

test('another option, input or output is another call', async () => {
  const { cpu, inputs, out } = await world()
  const run = (options = {}, given = inputs, places: typeof out = out) =>
    bits(bradleyTerryLoss(given, options, { out: places }))
  const other = { ...inputs, chosen: cpu.tensor(pairs(9)) }
  const otherOut = { ...bradleyTerryLoss(inputs) }
  const expected = [
    bits(bradleyTerryLoss(inputs)),
    bits(bradleyTerryLoss(inputs, { labelSmoothing: 0.2 })),
    bits(bradleyTerryLoss(other)),
  ]
  assert.notDeepEqual(expected[0], expected[1])
  assert.notDeepEqual(expected[0], expected[2])
  for (let round = 0; round < 2; round++) {
    for (let k = 0; k < 3; k++) assert.deepEqual(run(), expected[0])
    for (let k = 0; k < 3; k++) assert.deepEqual(run({ labelSmoothing: 0.2 }), expected[1])
    for (let k = 0; k < 3; k++) assert.deepEqual(run({}, other), expected[2])
    for (let k = 0; k < 3; k++) assert.deepEqual(run({}, inputs, otherOut), expected[0])
  }
  assert.deepEqual(bits(otherOut), expected[0])
})

test('gradients that are added to are added each time', async () => {
  const { inputs, out } = await world()
  const once = bits(out)
  for (let k = 0; k < 3; k++) bradleyTerryLoss(inputs, { accumulate: true }, { out })
  const [grad, first] = [bits(out).gradChosen, once.gradChosen]
  for (let i = 0; i < 5; i++) assert.ok(Math.abs(grad[i] - 4 * first[i]) <= 4 * 2 ** -24 * Math.abs(4 * first[i]))
})

test('a disposed tensor, a disposed device and a bad option are still refused', async () => {
  const { cpu, inputs, out } = await world()
  const run = (options = {}) => bradleyTerryLoss(inputs, options, { out })
  for (let k = 0; k < 3; k++) run()
  assert.throws(() => run({ labelSmoothing: 2 }), { code: 'ERR_OPTION' })
  for (let k = 0; k < 3; k++) run()
  inputs.chosen.dispose()
  assert.throws(() => run(), { code: 'ERR_DISPOSED' })
  inputs.chosen = cpu.tensor(pairs(1))
  for (let k = 0; k < 3; k++) run()
  cpu.dispose()
  assert.throws(() => run(), { code: 'ERR_DISPOSED' })
})

test('statistics say what the last op wrote, and each result is an object of its own', async () => {
  const { cpu } = await world()
  const x = cpu.tensor(pairs(1))
  const first = ppoValueLoss({ value: x, returns: x })
  const out = { ...first }
  const run = () => ppoValueLoss({ value: x, returns: x }, {}, { out })
  for (let k = 0; k < 3; k++) {
    const result = run()
    assert.notEqual(result, out)
    assert.equal(result.stats.statistics, ppoValueLoss.spec.outputs.stats.stats)
    result.stats.statistics = undefined
    delete (result as { loss?: Tensor }).loss
  }
  assert.equal(run().loss, out.loss)
})

test('a value that only the kernel sees is named each time', async () => {
  const { cpu, inputs } = await world()
  const preference = cpu.tensor(Float32Array.of(1, 0, 0.5, 3, 1))
  const out = { ...bradleyTerryLoss(inputs) }
  for (let k = 0; k < 3; k++)
    assert.throws(() => bradleyTerryLoss({ ...inputs, preference }, {}, { out }), { code: 'ERR_BAD_VALUE' })
  preference.write(Float32Array.of(1, 0, 0.5, 1, 1))
  for (let k = 0; k < 3; k++) bradleyTerryLoss({ ...inputs, preference }, {}, { out })
  preference.write(Float32Array.of(1, 0, 0.5, 1, -1))
  assert.throws(() => bradleyTerryLoss({ ...inputs, preference }, {}, { out }), { code: 'ERR_BAD_VALUE' })
})

test('more memory than is held for it is checked anew, with the same result', async () => {
  const cpu = await openDevice('cpu', { threads: 1 })
  const gradients = cpu.tensor(new Float32Array(300_000).fill(2))
  const out = { ...gradNorm({ grad: gradients }) }
  for (let k = 0; k < 3; k++)
    assert.equal(gradNorm({ grad: gradients }, {}, { out }).norm.item(), Math.fround(Math.sqrt(1.2e6)))
})
