// `npm run build:emulator`: build/emulator/, the CUDA kernels on the CPU, for tests (needs CMake and a C++ compiler).
// `npm run build:cuda`: build/Release/prefgrad.fatbin, the CUDA kernels for GPUs (needs nvcc of CUDA 13, and no GPU).
import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Runs a tool; what it printed is given back, and shown when it failed. */
const run = (tool, args, env = process.env) =>
  new Promise((resolve, reject) => {
    const printed = []
    const child = spawn(tool, args, { cwd: root, env })
    child.stdout.on('data', (text) => printed.push(text))
    child.stderr.on('data', (text) => printed.push(text))
    child.on('error', reject)
    child.on('close', (code) => {
      const text = `${Buffer.concat(printed)}`
      if (code === 0) resolve(text)
      else reject(new Error(`${tool} ${args.join(' ')} failed:\n${text}`))
    })
  })

const has = (tool) => spawnSync(tool, ['--version']).status === 0

/**
 * Builds the emulator into `folder` and returns the library's path.
 * @param {{ sanitize?: string, kernels?: string }} options what kernels are instrumented with; another folder of kernels
 */
export const buildEmulator = async (folder = 'emulator', { sanitize = '', kernels = join(root, 'kernels') } = {}) => {
  if (!has('cmake')) throw new Error('the emulator needs CMake (Debian: apt-get install cmake)')
  const target = join(root, 'build', folder)
  const generator = has('ninja') ? ['-G', 'Ninja'] : []
  const settings = [`-DPREFGRAD_SANITIZE=${sanitize}`, `-DPREFGRAD_KERNELS=${kernels}`]
  if (!existsSync(join(target, 'CMakeCache.txt')))
    await run('cmake', ['-S', root, '-B', target, ...generator, ...settings])
  // The emulator's own test belongs to the plain build alone.
  const what = folder === 'emulator' ? [] : ['--target', 'prefgrad_cuda_emulated']
  await run('cmake', ['--build', target, '--parallel', String(availableParallelism()), ...what])
  return join(target, 'libprefgrad_cuda_emulated.so')
}

/** SASS for the GPUs that are in use, and PTX for those to come. */
export const ARCHITECTURES = ['80', '86', '89', '90', '100', '120']

/** nvcc, wherever CUDA is usually installed; undefined where it is not. */
const findNvcc = () =>
  [process.env.NVCC, 'nvcc', '/usr/local/cuda/bin/nvcc'].find((tool) => tool !== undefined && has(tool))

/** Every .cu file. */
export const kernelFiles = () => {
  const folder = join(root, 'kernels')
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => readdirSync(join(folder, name)).map((file) => join(folder, name, file)))
    .filter((file) => file.endsWith('.cu'))
}

const CMAKE_JS = join(dirname(createRequire(import.meta.url).resolve('cmake-js/package.json')), 'bin/cmake-js')
/** It would download Node's headers, which are beside the binary, and which no kernel needs. */
const HEADERS = { npm_config_nodedir: dirname(dirname(process.execPath)) }
const cmakeJs = (...args) =>
  run(process.execPath, [CMAKE_JS, ...args, '--out', CUDA, '--log-level', 'error'], { ...process.env, ...HEADERS })

/** CMake's folder for the fatbin, with what the compilers said. */
const CUDA = join(root, 'build/cuda')
const LOG = join(CUDA, 'ptxas.log')
const FATBIN = join(root, 'build/Release/prefgrad.fatbin')

/** Why the fatbin cannot be built; undefined where it can. */
export const missingForFatbin = () => {
  if (findNvcc() === undefined)
    return 'the CUDA kernels need nvcc of CUDA 13 (it was looked for in the PATH and in /usr/local/cuda)'
  return has('cmake') ? undefined : 'the CUDA kernels need CMake (Debian: apt-get install cmake)'
}

/** Compiles the kernels for some GPUs, where anything changed, and puts them beside the addon; returns the fatbin's path. */
export const buildFatbin = async (architectures = ARCHITECTURES) => {
  const missing = missingForFatbin()
  if (missing !== undefined) throw new Error(missing)
  const nvcc = findNvcc()
  const [, major, minor] = /release (\d+)\.(\d+)/.exec(`${spawnSync(nvcc, ['--version']).stdout}`)
  const notes = JSON.stringify({ cuda: 1000 * Number(major) + 10 * Number(minor), architectures })
  const settings = [`--CDPREFGRAD_NVCC=${nvcc}`, `--CDPREFGRAD_ARCHITECTURES=${architectures.join(';')}`]
  await cmakeJs('configure', ...settings)
  try {
    await cmakeJs('build', '--target', 'fatbin', ...settings)
  } catch (error) {
    throw new Error(existsSync(LOG) ? `nvcc failed:\n${readFileSync(LOG, 'utf8')}` : error.message)
  }
  mkdirSync(dirname(FATBIN), { recursive: true })
  copyFileSync(join(CUDA, 'prefgrad.fatbin'), FATBIN)
  writeFileSync(`${FATBIN}.json`, notes)
  return FATBIN
}

/** What ptxas said of every kernel, and the PTX that it read, by architecture. */
export const compileReport = () => {
  const folder = join(CUDA, 'ptx')
  const texts = readdirSync(folder).filter((name) => name.endsWith('.ptx'))
  return {
    says: readFileSync(LOG, 'utf8'),
    ptx: texts.map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') })),
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const started = Date.now()
  const tasks = { emulator: buildEmulator, fatbin: buildFatbin }
  const task = tasks[process.argv[2]]
  if (task === undefined) {
    console.error(`usage: node scripts/cuda.js ${Object.keys(tasks).join(' | ')}`)
    process.exit(1)
  }
  try {
    const path = await task()
    console.log(
      `${path}: ${(statSync(path).size / 1e6).toFixed(2)} MB, ${((Date.now() - started) / 1000).toFixed(1)} s`,
    )
  } catch (error) {
    console.error(`build: ${error.message}`)
    process.exit(1)
  }
}
