// `npm run gpu:bundle`: build/gpu/, one folder that a machine with an NVIDIA driver and Python can check and measure prefgrad with:
// `bash gpu.sh`. It holds this Node, stripped and compressed, the addon, the kernels, the compiled library, the tests that run on
// a GPU, and the bench. `npm run gpu:bundle -- 90` compiles the kernels for compute capability 9.0 only, which takes less time.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { ARCHITECTURES, buildFatbin } from './cuda.js'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const target = join(root, 'build/gpu')
const MOST_BYTES = 60 * 2 ** 20

/** Runs a tool; what it printed is returned, and shown when it failed. */
const run = (tool, args) => {
  const { status, stdout, stderr, error } = spawnSync(tool, args, { cwd: root, maxBuffer: 2 ** 28 })
  if (status !== 0) throw new Error(`${tool} ${args.join(' ')} failed: ${error?.message ?? stderr}`)
  return stdout
}

const copy = (path, to = path) => {
  mkdirSync(dirname(join(target, to)), { recursive: true })
  copyFileSync(join(root, path), join(target, to))
}

/** This Node without its symbols, compressed; made again only when Node is another. */
const packNode = () => {
  const [packed, notes] = [join(target, 'node.xz'), join(target, 'node.version')]
  const version = `${process.version} ${process.arch}`
  if (existsSync(packed) && existsSync(notes) && readFileSync(notes, 'utf8') === version) return
  const stripped = join(root, 'build/node-stripped')
  run('strip', ['--strip-all', '-o', stripped, process.execPath])
  writeFileSync(packed, run('xz', ['-9', `--threads=${availableParallelism()}`, '--stdout', stripped]))
  writeFileSync(notes, version)
  rmSync(stripped)
}

const filesOf = (folder) =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesOf(join(folder, entry.name)) : [join(folder, entry.name)],
  )

/** Tests that open a GPU where there is one. */
const gpuTests = () =>
  readdirSync(join(root, 'dist/test'))
    .filter((file) => /^cuda_.*\.test\.js$/.test(file) && existsSync(join(root, 'test', file.replace(/js$/, 'ts'))))
    .map((file) => `dist/test/${file}`)
    .filter((file) => /\bcudaDevice\b/.test(readFileSync(join(root, file), 'utf8')))

/** Everything that compiled files import, and the packages among it. */
const closure = async (entryPoints) => {
  const { metafile } = await build({
    entryPoints: entryPoints.map((file) => join(root, file)),
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    outdir: join(root, 'build/unused'),
    write: false,
    metafile: true,
    absWorkingDir: root,
    logLevel: 'error',
  })
  const packages = new Set()
  for (const { imports } of Object.values(metafile.inputs)) {
    for (const { path, external, kind } of imports) {
      // What is imported when it is needed is looked for then.
      if (external && kind === 'import-statement' && !path.startsWith('node:')) packages.add(path)
    }
  }
  return { files: Object.keys(metafile.inputs), packages: [...packages] }
}

/** Sources that tests read as text. */
const readByTests = (files) =>
  files
    .filter((file) => file.startsWith('dist/test/'))
    .flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/\btextOf\('([^']+)'\)/g)].map(([, path]) => path),
    )

/** The folder's tests find everything that they need in it; without a device there is next to nothing for them to do. */
const checkTests = (tests) => {
  const env = { ...process.env, CUDA_VISIBLE_DEVICES: '', PREFGRAD_EMULATOR: join(target, 'nowhere') }
  const args = ['--test', '--test-reporter=tap', ...tests.map((file) => join(target, file))]
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: target, env, encoding: 'utf8' })
  if (status !== 0) throw new Error(`the tests do not run in the folder:\n${stdout}`)
}

/** A package and what it needs in turn. */
const copyPackage = (name) => {
  const folder = join('node_modules', name)
  cpSync(join(root, folder), join(target, folder), { recursive: true, filter: (path) => !/\.(d\.ts|map)$/.test(path) })
  const { dependencies = {} } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
  for (const dependency of Object.keys(dependencies)) copyPackage(dependency)
}

/** The commit that the files are of, for the results. */
const commit = () => {
  const head = run('git', ['rev-parse', '--short=12', 'HEAD']).toString().trim()
  return run('git', ['status', '--porcelain', '--untracked-files=no']).length > 0 ? `${head} with changes` : head
}

const bundle = async (architectures) => {
  mkdirSync(target, { recursive: true })
  for (const name of readdirSync(target)) {
    if (name !== 'node.xz' && name !== 'node.version') rmSync(join(target, name), { recursive: true })
  }
  packNode()
  const fatbin = relative(root, await buildFatbin(architectures))
  for (const path of [fatbin, `${fatbin}.json`, 'build/Release/prefgrad.node', 'package.json']) copy(path)
  const tests = gpuTests()
  const { files, packages } = await closure([...tests, 'dist/bench/gpu/run.js', 'dist/lib/index.js'])
  const library = ['dist/lib', 'dist/kernels'].flatMap(filesOf).filter((file) => file.endsWith('.js'))
  for (const file of new Set([...library, ...files, ...readByTests(files)])) copy(file)
  for (const name of packages) copyPackage(name)
  for (const file of filesOf('bench/gpu').filter((path) => path.endsWith('.py'))) copy(file)
  copy('scripts/gpu/gpu.sh', 'gpu.sh')
  chmodSync(join(target, 'gpu.sh'), 0o755)
  writeFileSync(join(target, 'commit'), `${commit()}\n`)
  checkTests(tests)
  return { tests, packages }
}

try {
  const words = process.argv.slice(2)
  const { tests, packages } = await bundle(words.length > 0 ? words : ARCHITECTURES)
  const all = filesOf('build/gpu')
  const bytes = all.reduce((sum, file) => sum + statSync(join(root, file)).size, 0)
  console.log(`${target}: ${all.length} files, ${(bytes / 2 ** 20).toFixed(1)} MiB`)
  console.log(`tests: ${tests.map((file) => file.replace(/.*cuda_(.*)\.test\.js/, '$1')).join(', ')}`)
  if (packages.length > 0) console.log(`packages: ${packages.join(', ')}`)
  if (bytes > MOST_BYTES) throw new Error(`the folder is larger than ${MOST_BYTES / 2 ** 20} MiB`)
} catch (error) {
  console.error(`gpu:bundle: ${error.message}`)
  process.exit(1)
}
