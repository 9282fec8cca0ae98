/** The folder of package.json, whether tests run compiled (dist/test) or as they are. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const up = (folder: string): string => (existsSync(join(folder, 'package.json')) ? folder : up(dirname(folder)))

export const root = up(dirname(fileURLToPath(import.meta.url)))
export const textOf = (path: string): string => readFileSync(join(root, path), 'utf8')

/** A compiled module, for threads and processes of their own. */
export const compiledUrl = (path: string): string => pathToFileURL(join(root, 'dist', `${path}.js`)).href
