/** Builds of the emulator beside the one that every suite uses. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { root } from './root.ts'

interface BuildScript {
  buildEmulator(folder?: string, options?: { sanitize?: string; kernels?: string; target?: string }): Promise<string>
  buildFatbin(): Promise<string>
  compileReport(): { says: string; ptx: { name: string; text: string }[] }
  missingForFatbin(): string | undefined
  kernelFiles(): string[]
  ARCHITECTURES: string[]
}

export const build: BuildScript = await import(join(root, 'scripts/cuda.js'))

/** A test file on another build of the emulator, as a process of its own. */
export const runSuite = (
  file: string,
  emulator: string,
  env: NodeJS.ProcessEnv = {},
  words: readonly string[] = [],
): { status: number | null; output: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...words, join(root, 'dist/test', file)], {
    encoding: 'utf8',
    env: { ...process.env, NODE_TEST_CONTEXT: '', ...env, PREFGRAD_EMULATOR: emulator },
    maxBuffer: 1 << 28,
  })
  return { status, output: stdout + stderr }
}

/** A sanitizer's library, to be loaded before node; undefined where the compiler has none. */
export const sanitizerLibrary = (name: string): string | undefined => {
  const { stdout } = spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' })
  const path = stdout?.trim() ?? ''
  return isAbsolute(path) && existsSync(path) ? path : undefined
}
