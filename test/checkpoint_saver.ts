/**
 * The process that the checkpoint tests kill: `checkpoint_saver FOLDER MODE`. It goes on from the newest checkpoint,
 * saves one step after the other, and prints a step once its save has returned.
 * `forever` saves until killed; `count:N:S` saves the steps S, S + 3, … N times; `grow` saves twice as much each time.
 */
import { writeSync } from 'node:fs'
import { PrefgradError } from '../lib/errors.ts'
import { loadLatestCheckpoint, saveCheckpoint } from '../lib/train/checkpoint.ts'
import { contentOf } from './checkpoint_content.ts'

const [folder, mode] = process.argv.slice(2)

async function save(step: number, elements?: number, layers?: number): Promise<void> {
  await saveCheckpoint(folder, contentOf(step, elements, layers))
  writeSync(1, `${step}\n`)
}

if (mode === 'forever') {
  const newest = await loadLatestCheckpoint(folder)
  for (let step = (newest?.step ?? 0) + 1; ; step++) await save(step, 500, 200)
} else if (mode.startsWith('count:')) {
  const [, count, first] = mode.split(':').map(Number)
  for (let i = 0; i < count; i++) await save(first + 3 * i)
} else {
  try {
    for (let step = 1; ; step++) await save(step, 1000 * 2 ** step)
  } catch (error) {
    if (!(error instanceof PrefgradError)) throw error
    writeSync(1, JSON.stringify({ code: error.code, message: error.message }))
  }
}
