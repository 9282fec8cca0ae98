/** The addon among threads and realms: several workers at once, a worker that is cut off, an exit in the middle, other realms' arrays. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import vm from 'node:vm'
import { Worker } from 'node:worker_threads'
import { bradleyTerryLoss, openDevice, sampleTokens } from '../lib/index.ts'
import { compiledUrl } from './root.ts'
import { deviceOf, eachSample, isas, opNames, runSample, samplesOf } from './run_op.ts'
import { digest } from './worker_digest.ts'

const library = compiledUrl('lib/index')
const work = compiledUrl('test/worker_digest')

const answerOf = (worker: Worker): Promise<string> =>
  new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })

test('the main thread and four workers at once give the same bits', async () => {
  const rounds = 40
  const workers = Array.from({ length: 4 }, () => new Worker(new URL(work), { workerData: { rounds } }))
  const answers = await Promise.all([...workers.map(answerOf), digest(rounds)])
  assert.match(answers[0], /^[0-9a-f]{64}$/)
  assert.equal(new Set(answers).size, 1, answers.join(' '))
  await Promise.all(workers.map((worker) => worker.terminate()))
})

/** Runs a module in a process of its own. */
const run = (code: string) =>
  spawnSync(process.execPath, [...process.execArgv, '--input-type=module', '-e', code], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, NODE_TEST_CONTEXT: '' },
  })

test('a process whose workers alone load the addon, and are cut off at any moment, ends cleanly', () => {
  const result = run(`
    import { Worker } from 'node:worker_threads'
    for (let round = 0; round < 12; round++) {
      const worker = new Worker(new URL(${JSON.stringify(work)}), { workerData: { rounds: 1e9 }, execArgv: [] })
      worker.on('error', (error) => { throw error })
      await new Promise((resolve) => setTimeout(resolve, 25 * round))
      await worker.terminate()
    }
    console.log('all ended')
  `)
  assert.equal(result.stderr, '')
  assert.equal(result.stdout, 'all ended\n')
  assert.equal(result.status, 0, `signal ${result.signal}`)
})

test('process.exit ends a process with open devices and sleeping helpers', () => {
  const result = run(`
    import { openDevice, gradNorm } from ${JSON.stringify(library)}
    const devices = []
    for (let k = 0; k < 4; k++) devices.push(await openDevice('cpu', { threads: 4, grain: 1 }))
    const inputs = { grad: devices[3].tensor(new Float32Array(1e6).fill(1)) }
    if (gradNorm(inputs).norm.item() === 1000) process.exit(7)
  `)
  assert.equal(result.stderr, '')
  assert.equal(result.status, 7, `signal ${result.signal}`)
})

const skip = process.platform === 'linux' ? false : 'counts threads in /proc'
test('devices that are dropped without dispose are cleaned up', { skip }, () => {
  const result = run(`
    import { openDevice, gradNorm } from ${JSON.stringify(library)}
    import v8 from 'node:v8'
    import vm from 'node:vm'
    import { readFileSync } from 'node:fs'
    v8.setFlagsFromString('--expose-gc')
    const collect = vm.runInNewContext('gc')
    const threads = () => Number(/Threads:\\t(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
    const before = threads()
    for (let k = 0; k < 20; k++) gradNorm({ grad: (await openDevice('cpu', { threads: 3, grain: 1 })).tensor(new Float32Array(1e5)) })
    for (let k = 0; k < 20 && threads() > before + 4; k++) {
      collect()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    console.log(threads() <= before + 4)
  `)
  assert.equal(result.stderr, '')
  assert.equal(result.stdout, 'true\n')
})

test('arithmetic of the caller is left alone: no op flushes subnormals or rounds another way', async () => {
  const tiny = 1e-310
  const third = 1 / 3
  for (const isa of isas) {
    const device = await deviceOf(isa)
    for (const name of opNames) {
      await eachSample(name, (sample) => void runSample(name, sample, device), samplesOf(name).slice(0, 3))
      assert.ok(tiny / 2 > 0, `${name} on ${isa} leaves flush-to-zero set`)
      assert.equal(Math.fround(1e-40) * 1, Math.fround(1e-40))
      assert.ok(third * 3 === 1 && 1 + 2 ** -53 === 1 && 1 + 3 * 2 ** -53 === 1 + 2 ** -51, `${name} changes rounding`)
    }
  }
})

test("arrays of another realm are arrays, and another realm's shared memory is shared", () => {
  const realm = vm.createContext({})
  const [chosen, rejected] = ['[2, 0.5]', '[1, 1]'].map((list) => vm.runInContext(`Float32Array.from(${list})`, realm))
  assert.ok(!(chosen instanceof Float32Array))
  const theirs = bradleyTerryLoss({ chosen, rejected })
  const ours = bradleyTerryLoss({ chosen: Float32Array.of(2, 0.5), rejected: Float32Array.of(1, 1) })
  assert.equal(theirs.loss.item(), ours.loss.item())
  const shared = vm.runInContext('new Float32Array(new SharedArrayBuffer(8))', realm)
  shared.set([2, 0.5])
  assert.equal(bradleyTerryLoss({ chosen: shared, rejected }).loss.item(), ours.loss.item())
  const out = { gradChosen: shared }
  assert.throws(() => bradleyTerryLoss({ chosen, rejected }, {}, { out }), { code: 'ERR_SHARED_BUFFER' })
})

test('Buffer is a Uint8Array, at any offset of its pool', async () => {
  const device = await openDevice('cpu', { threads: 1 })
  const valid = Buffer.from([1, 1, 0, 1])
  assert.ok(device.tensor(valid).dtype === 'u8')
  const logits = new Float32Array(new ArrayBuffer(64), 20, 8)
  assert.equal(sampleTokens({ logits: { data: logits, shape: [2, 4] } }, { temperature: 0 }).tokens.size, 2)
  device.dispose()
})
