// Puts every .wgsl file of kernels/ into kernels/wgsl.ts, so that Node and browsers load them alike.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const kernels = join(dirname(dirname(fileURLToPath(import.meta.url))), 'kernels')
const files = readdirSync(kernels, { withFileTypes: true })
  .filter((folder) => folder.isDirectory())
  .flatMap(({ name }) => readdirSync(join(kernels, name)).map((file) => `${name}/${file}`))
  .filter((file) => file.endsWith('.wgsl'))
  .sort()
const entries = files.map((file) => `  '${file}': ${JSON.stringify(readFileSync(join(kernels, file), 'utf8'))},\n`)
const text = `// Made by scripts/embed_wgsl.js from the .wgsl files.\nexport const wgsl: Readonly<Record<string, string>> = {\n${entries.join('')}}\n`
const out = join(kernels, 'wgsl.ts')
if (!existsSync(out) || readFileSync(out, 'utf8') !== text) writeFileSync(out, text)
