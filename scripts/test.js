// `npm test`: every compiled test under dist/test. PREFGRAD_REQUIRE=cpu,... fails the run when one of these devices cannot be
// opened; what could not run here is listed by name at the end. Arguments pick files: `npm test -- gae conformance`.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const testsOf = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? testsOf(path) : entry.name.endsWith('.test.js') ? [path] : []
  })

const wanted = process.argv.slice(2)
const files = testsOf(join(root, 'dist/test')).filter(
  (path) => wanted.length === 0 || wanted.some((word) => relative(root, path).includes(word)),
)
if (files.length === 0) {
  console.error(`test: no test file matches ${wanted.join(', ')}`)
  process.exit(1)
}
const { inspect } = await import(join(root, 'dist/lib/index.js'))
const found = await inspect()
const required = (process.env.PREFGRAD_REQUIRE ?? '').split(',').filter((name) => name !== '')
const missing = required.filter((name) => !found.devices.some((device) => device.name === name && device.available))

const result = spawnSync(
  process.execPath,
  ['--test', '--test-reporter=spec', '--test-concurrency=2', ...files.sort()],
  {
    cwd: root,
    stdio: 'inherit',
  },
)
const isas = found.cpu?.isas ?? []
const absent = [
  ...found.devices.filter((device) => !device.available).map((device) => `${device.name} (${device.why})`),
  ...['avx512', 'avx2', 'baseline']
    .filter((isa) => !isas.includes(isa))
    .map((isa) => `cpu:${isa} (this processor lacks it)`),
]
console.log(`ran on: ${isas.map((isa) => `cpu:${isa}`).join(', ')}`)
if (absent.length > 0) console.log(`not run here: ${absent.join('; ')}`)
if (missing.length > 0) {
  console.error(`test: PREFGRAD_REQUIRE wants ${missing.join(', ')}, which could not be opened`)
  process.exit(1)
}
process.exit(result.status ?? 1)
