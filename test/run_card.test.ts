/** run.json: nothing that a reader of a result needs is left out or made up. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readPreferences } from '../lib/data/index.ts'
import { type CardInput, forwardFlops, runCard, trainingFlops } from '../lib/train/card.ts'
import { temporaryFolder } from './cli_world.ts'

const input: CardInput = {
  what: 'reward model',
  command: 'prefgrad reward',
  status: 'finished',
  configuration: { lr: 0.1 },
  seed: 3,
  device: 'cpu:avx2',
  data: [],
  started: new Date('2026-01-01T00:00:00Z'),
  ended: new Date('2026-01-01T00:01:30Z'),
  steps: 7,
  parameters: 1000,
  flops: trainingFlops(1000, 50),
}

test('training costs 6 and a forward pass 2 operations per parameter and token', () => {
  assert.equal(trainingFlops(1000, 50), 300_000)
  assert.equal(forwardFlops(1000, 50), 100_000)
})

test('a labeller and guidelines that nobody named are called unknown, never left out', () => {
  const card = runCard(input)
  assert.match(card.labeller, /^unknown: state who labelled this data$/)
  assert.match(card.guidelines, /^unknown/)
  assert.match(card.limits, /Trained toward the preferences in this data/)
  assert.doesNotMatch(JSON.stringify(card), /\baligned\b/)
  const named = runCard({ ...input, labeller: 'three nurses', guidelines: 'guide.pdf', limits: 'English only' })
  assert.deepEqual([named.labeller, named.guidelines, named.limits], ['three nurses', 'guide.pdf', 'English only'])
})

test('times are ISO 8601 with their difference, and open while a run goes on', () => {
  const card = runCard(input)
  assert.deepEqual(
    [card.started, card.ended, card.seconds],
    ['2026-01-01T00:00:00.000Z', '2026-01-01T00:01:30.000Z', 90],
  )
  const running = runCard({ ...input, status: 'running', ended: undefined })
  assert.deepEqual([running.ended, running.seconds], [null, null])
})

test('versions, device and every data file with its hash and counts stand in it, and it survives JSON', async () => {
  const path = join(temporaryFolder(), 'pairs.jsonl')
  writeFileSync(path, '{"prompt":"p","chosen":"a","rejected":"b"}\nnot json\n')
  const { report } = await readPreferences(path, { onBadLine: 'skip' }).load()
  const card = runCard({ ...input, data: [{ role: 'training', report }] })
  assert.equal(card.data[0].role, 'training')
  assert.match(card.data[0].sha256, /^[0-9a-f]{64}$/)
  assert.deepEqual([card.data[0].records, card.data[0].badLineCount], [1, 1])
  assert.ok(!('badLines' in card.data[0]))
  assert.equal(card.versions.node, process.version)
  assert.match(card.versions.prefgrad, /^\d+\.\d+\.\d+$/)
  assert.equal(card.versions.device, 'cpu:avx2')
  assert.match(card.flops.formula, /6 · parameters · tokens/)
  assert.deepEqual(JSON.parse(JSON.stringify(card)), card)
})
