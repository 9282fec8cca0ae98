/** The command line of the GPU bench. */
import { parseArgs } from 'node:util'
import { refuse } from '../../lib/refuse.ts'
import { SCALES, type Scale } from './cases/index.ts'

export const USAGE = `prefgrad on a CUDA GPU, beside PyTorch: node dist/bench/gpu/run.js [options]

  --device cuda|cuda:emulated   default cuda; times on the emulator mean nothing and are marked so
  --matmul exact|fast           default exact, true f32; fast multiplies on tensor cores
  --scale full|tiny             default full; tiny takes seconds and only shows that everything runs
  --op NAME,...                 only these ops and steps
  --dtype NAME,...              only these element types
  --peers torch|none|FOLDER     default torch (PyTorch eager and torch.compile); a folder's scripts are added to it
  --samples N                   of each measure, default 30
  --seconds N                   begins no further case after so many seconds; the most important ones come first
  --json FILE                   writes everything that was measured
  --results FOLDER              the same into FOLDER/<date>-<gpu>.json; not on the emulator
  --list                        cases, in the order in which they are measured
  --help                        this text

Device times are between events of the driver, with the L2 cache flushed (cold) or right after the same call (warm); 'full' is
a whole call by the host's clock, until the device is done, and 'enqueue' until the call returns. PREFGRAD_COMMIT names the
commit where there is no repository, PREFGRAD_PYTHON the Python that has PyTorch.`

export interface Command {
  device: 'cuda' | 'cuda:emulated'
  matmul: 'exact' | 'fast'
  scale: Scale
  ops?: string[]
  dtypes?: string[]
  peers: string
  samples: number
  seconds: number
  json?: string
  results?: string
  list: boolean
  help: boolean
}

const OPTIONS = {
  device: { type: 'string', default: 'cuda' },
  matmul: { type: 'string', default: 'exact' },
  scale: { type: 'string', default: 'full' },
  op: { type: 'string' },
  dtype: { type: 'string' },
  peers: { type: 'string', default: 'torch' },
  samples: { type: 'string', default: '30' },
  seconds: { type: 'string', default: '86400' },
  json: { type: 'string' },
  results: { type: 'string' },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

const usage = (message: string, arg: string, value: unknown, fix: string): never =>
  refuse('ERR_USAGE', message, { arg, value, fix })

const oneOf = <T extends string>(arg: string, value: string, known: readonly T[]): T =>
  known.find((one) => one === value) ?? usage(`--${arg} is '${value}'.`, arg, value, `Use one of ${known.join(', ')}.`)

const count = (arg: string, text: string): number => {
  const n = Number(text)
  return Number.isSafeInteger(n) && n > 0
    ? n
    : usage(`--${arg} must be a whole number above 0, and is '${text}'.`, arg, text, `Such as --${arg} 30.`)
}

/** @throws PrefgradError `ERR_USAGE` for words that it does not know */
export const readCommand = (words: readonly string[]): Command => {
  const read = () => {
    try {
      return parseArgs({ args: [...words], options: OPTIONS, allowPositionals: false }).values
    } catch (error) {
      return usage((error as Error).message, 'command', words.join(' '), '--help shows all options.')
    }
  }
  const values = read()
  const device = oneOf('device', values.device, ['cuda', 'cuda:emulated'] as const)
  if (values.results !== undefined && device !== 'cuda') {
    usage('--results keeps what a GPU did, and the emulator is none.', 'results', values.results, 'Use --json FILE.')
  }
  return {
    device,
    matmul: oneOf('matmul', values.matmul, ['exact', 'fast'] as const),
    scale: oneOf('scale', values.scale, SCALES),
    ...(values.op === undefined ? {} : { ops: values.op.split(',') }),
    ...(values.dtype === undefined ? {} : { dtypes: values.dtype.split(',') }),
    peers: values.peers,
    samples: count('samples', values.samples),
    seconds: count('seconds', values.seconds),
    ...(values.json === undefined ? {} : { json: values.json }),
    ...(values.results === undefined ? {} : { results: values.results }),
    list: values.list,
    help: values.help,
  }
}
