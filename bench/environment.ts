/** Where and on what a run took place. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from '../lib/index.ts'
import { refuse } from '../lib/refuse.ts'
import type { Environment } from './types.ts'

/** The folder with package.json, from the sources and from dist/ alike. */
export const packageRoot = ((): string => {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder
    if (folder === dirname(folder)) throw new Error('no package.json above the bench')
  }
})()

const git = (...args: string[]): string | undefined => {
  try {
    return execFileSync('git', args, { cwd: packageRoot, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

export const commit = (): string => {
  const head = git('rev-parse', '--short=12', 'HEAD')
  if (head === undefined) return 'unknown'
  return git('status', '--porcelain', '--untracked-files=no') ? `${head} with changes` : head
}

/** Minutes-long averages of runnable processes: how busy the machine was with other things. */
export const load = (): number[] => loadavg().map((n) => Math.round(n * 100) / 100)

/** The words of a command that are kept with its results: not the places of files, which change nothing and are the machine's own. */
export const keptWords = (words: readonly string[]): string[] => {
  const isPlace = (word = ''): boolean => ['--json', '--plots', '--results'].includes(word)
  return words.filter((word, i) => !isPlace(word.split('=')[0]) && !isPlace(words[i - 1]))
}

export const readEnvironment = async (args: readonly string[]): Promise<Environment> => {
  const { cpu, version, node, platform } = await inspect()
  if (cpu === undefined) {
    return refuse('ERR_NO_DEVICE', 'the bench needs the cpu device.', { fix: 'Run `npm run build` first.' })
  }
  const words = keptWords(args)
  return {
    date: new Date().toISOString(),
    command: ['npm run bench', ...(words.length > 0 ? ['--', ...words] : [])].join(' '),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load: load(),
    platform,
    node,
    version,
    commit: commit(),
    device: `cpu:${cpu.isa}`,
    isas: cpu.isas,
  }
}
