// `npm run build`: TypeScript to dist/, the native addon to build/Release/. Both are incremental: with nothing changed this
// takes seconds. Needs no network: Node's own headers come with Node. Where there is an NVIDIA GPU and nvcc, the CUDA kernels are
// compiled for that GPU; `npm run build:cuda` compiles them for all.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildFatbin, missingForFatbin } from './cuda.js'
import './embed_wgsl.js'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)
const started = Date.now()

/** Runs one tool and says how long it took; what it printed is shown only when it failed. */
const step = (name, script, args) =>
  new Promise((resolve) => {
    const begun = Date.now()
    const printed = []
    const child = spawn(process.execPath, [script, ...args], { cwd: root })
    child.stdout.on('data', (text) => printed.push(text))
    child.stderr.on('data', (text) => printed.push(text))
    child.on('close', (code) => {
      if (code !== 0) {
        process.stderr.write(`${Buffer.concat(printed)}\nbuild: ${name} failed (see above)\n`)
        process.exit(1)
      }
      resolve(`${name} ${((Date.now() - begun) / 1000).toFixed(1)} s`)
    })
  })

// node-gyp would download headers; every ordinary installation of Node has them beside the binary.
const prefix = dirname(dirname(process.execPath))
const headers = existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : []
const gyp = join(dirname(require.resolve('node-gyp/package.json')), 'bin/node-gyp.js')
const configured = existsSync(join(root, 'build/Makefile'))
const jobs = [`--jobs=${availableParallelism()}`]

// Side by side: three large files on two cores leave one of them idle at the end.
const parts = await Promise.all([
  step('native', gyp, [...(configured ? ['build'] : ['configure', 'build']), ...headers, ...jobs, '--loglevel=warn']),
  step('typescript', join(dirname(require.resolve('typescript/package.json')), 'bin/tsc'), ['-p', 'tsconfig.json']),
])
parts.push(await step('bundle', join(root, 'scripts/bundle.js'), []))

/** Compute capabilities of the GPUs of this machine: ['90']. */
const capabilities = () => {
  const { status, stdout } = spawnSync('nvidia-smi', ['--query-gpu=compute_cap', '--format=csv,noheader'])
  if (status !== 0) return []
  return [...new Set(`${stdout}`.match(/\d+\.\d+/g) ?? [])].map((version) => version.replace('.', '')).sort()
}
const own = capabilities()
const missing = own.length > 0 ? missingForFatbin() : undefined
if (own.length > 0 && missing === undefined) {
  const begun = Date.now()
  await buildFatbin(own)
  parts.push(`cuda ${((Date.now() - begun) / 1000).toFixed(1)} s`)
}
if (missing !== undefined) parts.push(`no kernels for the GPU that is here (${missing})`)
console.log(`build: ${parts.join(', ')}; ${((Date.now() - started) / 1000).toFixed(1)} s in all`)
