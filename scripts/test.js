// `npm test`: every compiled test. `npm test -- gae conformance` picks files by name. PREFGRAD_REQUIRE=cpu,... fails the run
// when one of these cannot be had ('cuda-emulated': the CUDA kernels on the CPU; 'nvcc': their compiler; 'examples': the
// libraries of the examples); what could not run here is listed by name in the last lines.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { missingForAvx512 } from './avx512.js'
import { buildEmulator, missingForFatbin } from './cuda.js'

// Tests start from the environment that they were given; looking for software adapters changes this process's own.
const env = { ...process.env }
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const words = process.argv.slice(2)
// What was compiled from a file that is gone would still be there.
const hasSource = (file) => existsSync(join(root, 'test', file.replace(/\.js$/, '.ts')))
const files = readdirSync(join(root, 'dist/test'))
  .filter((file) => file.endsWith('.test.js') && hasSource(file))
  .filter((file) => words.length === 0 || words.some((word) => basename(file, '.test.js').includes(word)))
  .map((file) => join(root, 'dist/test', file))
if (files.length === 0) {
  console.error(`test: no test file matches ${words.join(', ')}`)
  process.exit(1)
}

/** Why the CUDA kernels cannot run on the CPU here; undefined: they can. What does not compile ends the run. */
const noEmulator = await buildEmulator().then(
  () => undefined,
  (error) => error.message,
)
if (noEmulator?.includes('failed:')) {
  console.error(`test: ${noEmulator}`)
  process.exit(1)
}

const { inspect, openDevice } = await import(join(root, 'dist/lib/index.js'))
const { softwareAdapters } = await import(join(root, 'dist/test/software_gpu.js'))

/** webgpu is tested on software adapters, which come with a dev dependency; every other device is just there, or not. */
const open = async (name) => {
  // The suite itself looks for what the examples need.
  if (name === 'examples') return { dispose() {} }
  if (name === 'cuda-emulated') return openDevice('cuda:emulated')
  if (name === 'nvcc') {
    const missing = missingForFatbin()
    if (missing !== undefined) throw new Error(missing)
    return { dispose() {} }
  }
  if (name !== 'webgpu') return openDevice(name)
  const [first] = await softwareAdapters()
  return openDevice('webgpu', { gpu: await first.open(), software: true })
}
const missing = []
for (const name of (process.env.PREFGRAD_REQUIRE ?? '').split(',').filter((word) => word !== '')) {
  try {
    const device = await open(name)
    device.dispose()
  } catch (error) {
    missing.push(`${name} (${error.message})`)
  }
}

// A device opens its own threads, so that more files than cores at once only get in each other's way.
const concurrency = `--test-concurrency=${Math.max(1, Math.min(4, availableParallelism()))}`
const ran = spawnSync(process.execPath, ['--test', '--test-reporter=spec', concurrency, ...files], {
  cwd: root,
  env,
  stdio: 'inherit',
})

const { devices, cpu } = await inspect()
const isas = cpu?.isas ?? []
const adapters = await softwareAdapters().then(
  (list) => list.map(({ name }) => `webgpu:${name}`),
  () => [],
)
const emulated = noEmulator === undefined ? ['cuda:emulated'] : []
const instead = (isa) =>
  isa === 'avx512' && missingForAvx512(isas) === undefined ? '; its kernels in AVX2 instructions' : ''
const absent = [
  ...(noEmulator === undefined ? [] : [`cuda:emulated (${noEmulator})`]),
  ...(missingForFatbin() === undefined ? [] : [`the compilation of the CUDA kernels (${missingForFatbin()})`]),
  ...devices
    .filter(({ name, available }) => !available && !(name === 'webgpu' && adapters.length > 0))
    .map((device) => `${device.name} (${device.why})`),
  ...['avx512', 'avx2']
    .filter((isa) => !isas.includes(isa))
    .map((isa) => `cpu:${isa} (this processor lacks it${instead(isa)})`),
]
console.log(`ran on: ${[...isas.map((isa) => `cpu:${isa}`), ...adapters, ...emulated].join(', ') || 'no device'}`)
if (absent.length > 0) console.log(`not run here: ${absent.join('; ')}`)
for (const device of missing) console.error(`test: PREFGRAD_REQUIRE wants ${device}`)
process.exit(missing.length > 0 ? 1 : (ran.status ?? 1))
