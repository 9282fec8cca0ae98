/** What several threads do at once in processes.test.ts: calls that take a while, and a digest of what they gave. */
import { createHash } from 'node:crypto'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { openDevice, tokenLogprobs } from '../lib/index.ts'

const ROWS = 24
const VOCABULARY = 1001

export const digest = async (rounds: number): Promise<string> => {
  const device = await openDevice('cpu', { threads: 2, grain: 1 })
  const values = Float32Array.from({ length: ROWS * VOCABULARY }, (_, i) => Math.sin(i * i) * 5)
  const logits = device.tensor(values, [ROWS, VOCABULARY])
  const tokens = device.tensor(Int32Array.from({ length: ROWS }, (_, i) => (i * 41) % VOCABULARY))
  const hash = createHash('sha256')
  for (let round = 0; round < rounds; round++) {
    const { logprob, entropy } = tokenLogprobs({ logits, tokens }, { entropy: true, temperature: 1 + round / 100 })
    hash.update(logprob.data).update(entropy!.data)
  }
  device.dispose()
  return hash.digest('hex')
}

if (!isMainThread && typeof workerData?.rounds === 'number') parentPort!.postMessage(await digest(workerData.rounds))
