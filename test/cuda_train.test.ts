/** The whole loop on cuda: the cpu's first losses, learning, and the same bits every time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CudaBackend } from '../lib/backends/cuda.ts'
import { openDevice } from '../lib/index.ts'
import { cudaDevice, cudaDevices } from './cuda_world.ts'
import { assertNear, FIRST, loops, rounds } from './train_world.ts'

const collect = async (records: AsyncIterable<object>): Promise<Record<string, number>[]> => {
  const all: Record<string, number>[] = []
  for await (const record of records) all.push(record as Record<string, number>)
  return all
}
/** Figures that depend on the clock. */
const TIMED = /seconds|PerSecond|time/i
const untimed = (records: readonly Record<string, number>[]): object[] =>
  records.map((record) => Object.fromEntries(Object.entries(record).filter(([key]) => !TIMED.test(key))))

const cpu = await openDevice('cpu', { threads: 1 })

for (const kind of await cudaDevices()) {
  for (const [name, { run, key }] of Object.entries(loops)) {
    test(`${kind}: ${name} gives the cpu's first losses, learns, and gives the same bits again`, async () => {
      const device = await cudaDevice(kind)
      const [expected, got] = [await collect(run(cpu)), await collect(run(device))]
      assert.equal(got.length, expected.length)
      assertNear(got[0], expected[0], FIRST)
      assertNear(got[1], expected[1], 10 * FIRST)
      assert.ok(got[got.length - 1][key] < 0.9 * got[0][key], `${key} went from ${got[0][key]} to ${got.at(-1)![key]}`)
      assert.deepEqual(untimed(await collect(run(device))), untimed(got))
    })
  }

  test(`${kind}: ppo gives the cpu's first round and learns`, async () => {
    const device = await cudaDevice(kind)
    const [expected, got] = [await collect(rounds(cpu)), await collect(rounds(device))]
    assertNear(got[0], expected[0], 20 * FIRST)
    const scores = got.map((record) => record['objective/scores'])
    assert.ok(scores[scores.length - 1] > scores[0], `scores ${scores}`)
    const { usedBytes } = device.backend as CudaBackend
    assert.ok(usedBytes < 64 * 2 ** 20, `${usedBytes} bytes are held`)
  })
}
