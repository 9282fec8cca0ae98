/** The folder of package.json, whether tests run compiled (dist/test) or as they are. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const up = (folder: string): string => (existsSync(join(folder, 'package.json')) ? folder : up(dirname(folder)))

export const root = up(dirname(fileURLToPath(import.meta.url)))
export const textOf = (path: string): string => readFileSync(join(root, path), 'utf8')

/** A compiled test imports compiled modules, a test under tsx the sources. */
export const moduleUrl = (path: string): string => {
  const here = fileURLToPath(import.meta.url)
  const file = here.endsWith('.ts') ? join(root, `${path}.ts`) : join(root, 'dist', `${path}.js`)
  return new URL(`file://${file}`).href
}
