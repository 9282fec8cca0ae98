/** The command line as a child process, and a small world of data for it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'

export interface Result {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface RunOptions {
  cwd?: string
  env?: Record<string, string>
  /** Called with everything on standard output so far, whenever there is more. */
  onOutput?: (stdout: string, child: ChildProcess) => void
  /** A shell command line with `"$@"` where prefgrad stands, for redirections and limits. */
  shell?: string
}

// The sources run under tsx, the compiled tests run the compiled program.
const compiled = import.meta.url.endsWith('.js')
const main = fileURLToPath(new URL(`../lib/cli/main.${compiled ? 'js' : 'ts'}`, import.meta.url))
const program = [process.execPath, ...(compiled ? [] : ['--import', import.meta.resolve('tsx')]), main]

/** Runs `prefgrad <words>` to its end. */
export const prefgrad = (words: readonly string[], options: RunOptions = {}): Promise<Result> => {
  const { shell, cwd, env, onOutput } = options
  const line = [...program, ...words]
  const [file, ...args] = shell === undefined ? line : ['bash', '-c', shell, 'bash', ...line]
  const child = spawn(file, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    onOutput?.(stdout, child)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
}

/** A folder that is removed when the tests of a file are done. */
export const temporaryFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'prefgrad-cli-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The records of `--json` output. */
export const recordsOf = ({ stdout }: Result): Record<string, unknown>[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

const ANIMALS = ['cat', 'dog', 'fox', 'owl', 'bee', 'cow', 'hen', 'pig', 'ant', 'bat', 'elk', 'emu']
const VERBS = ['runs', 'sleeps', 'sings']

const jsonl = (records: readonly object[]): string => records.map((record) => `${JSON.stringify(record)}\n`).join('')

/** Writes `text.jsonl`, `sft.jsonl`, `pairs.jsonl`, `prompts.jsonl`, `eval.jsonl` and `judge.js` into a folder. */
export const writeWorld = (folder: string): void => {
  const cases = ANIMALS.flatMap((animal) => VERBS.map((verb) => ({ animal, verb })))
  const prompts = cases.map(({ animal, verb }) => ({ prompt: `What of the ${animal} that ${verb}?` }))
  const files = {
    'text.jsonl': cases.map(({ animal, verb }) => ({
      text: `What of the ${animal}? The ${animal} ${verb} all day, and the ${animal} is happy.`,
    })),
    'sft.jsonl': cases.map(({ verb }, i) => ({ ...prompts[i], completion: ` It ${verb}.` })),
    'pairs.jsonl': cases.map(({ animal, verb }, i) => ({
      ...prompts[i],
      chosen: ` The ${animal} is happy.`,
      rejected: ` It ${verb}.`,
    })),
    'prompts.jsonl': prompts.slice(0, 24),
    'eval.jsonl': prompts.slice(24),
  }
  for (const [name, records] of Object.entries(files)) writeFileSync(join(folder, name), jsonl(records))
  writeFileSync(
    join(folder, 'judge.js'),
    'export default (samples) => samples.map(({ completion }) => (completion.match(/happy/g) ?? []).length)\n',
  )
}

/** Flags of a model that trains in a blink. */
export const TINY = ['--width', '16', '--layers', '1', '--heads', '2', '--max-length', '48', '--vocabulary-size', '300']
