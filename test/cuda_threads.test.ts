/** CUDA among threads: workers with devices of their own at once, and workers that are cut off in the middle of a call. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { cudaDevices } from './cuda_world.ts'
import { compiledUrl } from './root.ts'

const library = compiledUrl('lib/index')

/** A worker's program: rewards of 1 are added up from behind, again and again, and read. */
const work = `
  const { parentPort, workerData } = await import('node:worker_threads')
  const { gae, openDevice } = await import(${JSON.stringify(library)})
  const device = await openDevice(workerData.name)
  const inputs = { rewards: device.tensor(new Float32Array(64).fill(1), [4, 16]), values: device.zeros([4, 16]) }
  let sum = 0
  for (let round = 0; round < workerData.rounds; round++) {
    const { advantages } = gae(inputs, { gamma: 1, lambda: 1 })
    sum += (await advantages.read()).reduce((a, b) => a + b)
    advantages.dispose()
  }
  device.dispose()
  parentPort.postMessage(sum)`

const run = (code: string) =>
  spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    timeout: 120_000,
    env: { ...process.env, NODE_TEST_CONTEXT: '' },
  })

for (const name of await cudaDevices()) {
  test(`four workers at once, each with a device of its own, compute what they should on ${name}`, () => {
    const { status, stdout, stderr } = run(`
      import { Worker } from 'node:worker_threads'
      const source = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(work)}))
      const sums = Array.from({ length: 4 }, () => new Promise((resolve, reject) => {
        new Worker(source, { workerData: { name: '${name}', rounds: 25 } }).on('message', resolve).on('error', reject)
      }))
      console.log((await Promise.all(sums)).join(' '))`)
    // 16 + 15 + ... + 1 = 136 in each of 4 rows, 25 times.
    assert.deepEqual([status, stdout, stderr], [0, '13600 13600 13600 13600\n', ''])
  })

  test(`workers that are cut off at any moment leave a process that ends cleanly, on ${name}`, () => {
    const { status, signal, stdout, stderr } = run(`
      import { Worker } from 'node:worker_threads'
      const source = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(work)}))
      for (let round = 0; round < 8; round++) {
        const worker = new Worker(source, { workerData: { name: '${name}', rounds: 1e9 } })
        worker.on('error', (error) => { throw error })
        await new Promise((resolve) => setTimeout(resolve, 40 * round))
        await worker.terminate()
      }
      console.log('all ended')`)
    assert.deepEqual([status, signal, stdout, stderr], [0, null, 'all ended\n', ''])
  })
}
