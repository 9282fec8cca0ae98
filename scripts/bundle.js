// dist/prefgrad.webgpu.js: all of `prefgrad/webgpu` in one file, for pages without a build step. Nothing of Node may get in.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
await build({
  entryPoints: [join(root, 'dist/lib/webgpu.js')],
  outfile: join(root, 'dist/prefgrad.webgpu.js'),
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
})
