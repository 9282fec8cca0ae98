/** The threads of the cpu device between calls: awake, asleep or just waking, they see a call whole or not at all. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gae, openDevice } from '../lib/index.ts'

const [B, T] = [97, 16]

test('a call has its whole result at once, and no thread touches it afterwards, whether threads slept or not', async () => {
  // A grain of 1 gives a sequence to whoever comes first.
  const device = await openDevice('cpu', { threads: 8, grain: 1 })
  const of = (fill: number) => new Float32Array(B * T).fill(fill)
  const [rewards, advantages] = [of(0), of(0)]
  const inputs = { rewards: device.tensor(rewards, [B, T]), values: device.tensor(of(0.5), [B, T]) }
  const out = { advantages: device.tensor(advantages, [B, T]), returns: device.empty([B, T]) }
  for (let round = 0; round < 3000; round++) {
    rewards.fill(round)
    gae(inputs, { gamma: 0, lambda: 0 }, { out })
    assert.ok(
      advantages.every((value) => value === round - 0.5),
      `round ${round}`,
    )
    advantages.fill(-1)
    // Long enough for all to fall asleep, long enough for some, and not at all.
    if (round % 50 === 0) await sleep(2)
    else if (round % 7 === 0) for (const end = performance.now() + 0.2; performance.now() < end; );
    assert.ok(
      advantages.every((value) => value === -1),
      `after round ${round}`,
    )
  }
  device.dispose()
})
