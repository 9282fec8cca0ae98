// `npm run build:avx512`: build/avx512/prefgrad.node, an addon whose AVX-512 kernels are made of AVX2 instructions, by which tests
// run them on processors without AVX-512: PREFGRAD_ADDON=build/avx512/prefgrad.node npm test -- conformance
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = join(root, 'build/avx512')
const addon = join(folder, 'prefgrad.node')
/** What `npm run build` has left: all objects of the addon but the two that differ. */
const objects = join(root, 'build/Release/obj.target')

const compile = (args) =>
  new Promise((resolve, reject) => {
    const printed = []
    const child = spawn('g++', args, { cwd: root })
    child.stderr.on('data', (text) => printed.push(text))
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`g++ ${args.join(' ')} failed:\n${Buffer.concat(printed)}`))
    })
  })

/** Why it cannot be built; undefined where it can. `isas`: what the processor has. */
export const missingForAvx512 = (isas) => {
  if (!isas.includes('avx2')) return 'this processor has no AVX2'
  return existsSync(join(objects, 'prefgrad/native')) ? undefined : 'only the build on Linux leaves the objects for it'
}

const files = (path) =>
  statSync(path).isFile()
    ? [path]
    : readdirSync(path, { withFileTypes: true }).flatMap(({ name }) => files(join(path, name)))

const isUpToDate = () => {
  if (!existsSync(addon)) return false
  const made = statSync(addon).mtimeMs
  return ['kernels', 'native', 'binding.gyp', 'scripts/avx512.js', 'build/Release/prefgrad.node']
    .flatMap((path) => files(join(root, path)))
    .every((path) => statSync(path).mtimeMs <= made)
}

/** Builds it, where anything changed, and returns its path. */
export const buildAvx512 = async () => {
  if (isUpToDate()) return addon
  mkdirSync(folder, { recursive: true })
  const [, flags] = /"kernel_flags": (\[[^\]]*\])/.exec(readFileSync(join(root, 'binding.gyp'), 'utf8'))
  // -O1: no bit depends on it, and it compiles in half the time.
  const shared = [...JSON.parse(flags), '-O1', '-fPIC', '-mavx2', '-mfma', '-mf16c', '-mbmi', '-mbmi2', '-c']
  const kernels = join(folder, 'cpu_avx512.o')
  const device = join(folder, 'cpu_device.o')
  await compile([...shared, '-include', 'native/avx512_in_avx2.h', 'native/cpu_avx512.cc', '-o', kernels])
  await compile([...shared, '-DPREFGRAD_AVX512_IN_AVX2', 'native/cpu_device.cc', '-o', device])
  const glue = readdirSync(join(objects, 'prefgrad/native'))
    .filter((name) => name.endsWith('.o') && name !== 'cpu_device.o')
    .map((name) => join(objects, 'prefgrad/native', name))
  const others = ['cpu_any.a', 'cpu_avx2.a'].map((name) => join(objects, name))
  await compile(['-shared', '-pthread', '-Wl,-z,nodelete', '-o', addon, ...glue, device, kernels, ...others])
  return addon
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const started = Date.now()
  try {
    console.log(`${await buildAvx512()}: ${((Date.now() - started) / 1000).toFixed(1)} s`)
  } catch (error) {
    console.error(`build: ${error.message}`)
    process.exit(1)
  }
}
