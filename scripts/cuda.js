// `npm run build:emulator`: build/emulator/, the CUDA kernels on the CPU, for tests (needs CMake and a C++ compiler).
// `npm run build:cuda`: build/Release/prefgrad.fatbin, the CUDA kernels for GPUs (needs nvcc of CUDA 13, and no GPU).
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Runs a tool; what it printed is given back, and shown when it failed. */
const run = (tool, args, cwd = root) =>
  new Promise((resolve, reject) => {
    const printed = []
    const child = spawn(tool, args, { cwd })
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

const NVCC = ['-std=c++17', '-DPREFGRAD_CUDA', '-fmad=false', '-Werror', 'all-warnings', '-O3']

/** nvcc, wherever CUDA is usually installed; undefined where it is not. */
export const findNvcc = () =>
  [process.env.NVCC, 'nvcc', '/usr/local/cuda/bin/nvcc'].find((tool) => tool !== undefined && has(tool))

/** Every .cu file, in order of folders. */
export const kernelFiles = () => {
  const folder = join(root, 'kernels')
  return readdirSync(folder)
    .filter((name) => statSync(join(folder, name)).isDirectory())
    .flatMap((name) => readdirSync(join(folder, name)).map((file) => join(folder, name, file)))
    .filter((file) => file.endsWith('.cu'))
    .sort()
}

/** One translation unit, so that there is one fatbin: its text, under build/. */
const unit = () => {
  mkdirSync(join(root, 'build/Release'), { recursive: true })
  const path = join(root, 'build/kernels.cu')
  const text = kernelFiles()
    .map((file) => `#include "${file}"\n`)
    .join('')
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text)
  return path
}

/** The newest change of anything that kernels are made of. */
const newest = (folder = join(root, 'kernels')) =>
  Math.max(
    ...readdirSync(folder, { withFileTypes: true }).map((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return newest(path)
      return /\.(cu|h)$/.test(entry.name) ? statSync(path).mtimeMs : 0
    }),
  )

const FATBIN = join(root, 'build/Release/prefgrad.fatbin')
/** What the compilers said, and the PTX of every architecture: for the gates in test/cuda_compile.test.ts. */
const LOG = join(root, 'build/cuda/ptxas.log')

/** Compiles the fatbin, unless there is one for these architectures and nothing changed; returns its path. */
export const buildFatbin = async (architectures = ARCHITECTURES) => {
  const nvcc = findNvcc()
  if (nvcc === undefined)
    throw new Error('the kernels need nvcc of CUDA 13 (it was looked for in the PATH and in /usr/local/cuda)')
  const notes = `${FATBIN}.json`
  const [, major, minor] = /release (\d+)\.(\d+)/.exec(`${spawnSync(nvcc, ['--version']).stdout}`)
  const cuda = 1000 * Number(major) + 10 * Number(minor)
  if (existsSync(FATBIN) && existsSync(notes) && existsSync(LOG) && statSync(FATBIN).mtimeMs > newest()) {
    const made = JSON.parse(readFileSync(notes, 'utf8'))
    if (made.cuda === cuda && architectures.every((name) => made.architectures.includes(name))) return FATBIN
  }
  const last = architectures.at(-1)
  const codes = architectures.map((arch) => `-gencode=arch=compute_${arch},code=sm_${arch}`)
  codes.push(`-gencode=arch=compute_${last},code=compute_${last}`)
  const threads = ['--threads', String(availableParallelism())]
  rmSync(dirname(LOG), { recursive: true, force: true })
  mkdirSync(dirname(LOG), { recursive: true })
  const keep = ['-Xptxas', '-v,-Werror', '--keep', '--keep-dir', dirname(LOG)]
  const says = await run(nvcc, [
    ...NVCC,
    ...codes,
    ...threads,
    ...keep,
    '--compress-mode=size',
    '-fatbin',
    '-o',
    FATBIN,
    unit(),
  ])
  writeFileSync(LOG, says)
  writeFileSync(notes, JSON.stringify({ cuda, architectures }))
  return FATBIN
}

/** What ptxas said of every kernel, and the PTX that it read, by architecture. */
export const compileReport = () => {
  const folder = dirname(LOG)
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
