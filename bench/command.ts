/** The words after `npm run bench --`. */
import { BYTES, type Dtype } from '../lib/dtype.ts'
import { nearest, refuse } from '../lib/refuse.ts'
import type { Family } from './cases/index.ts'

export const USAGE = `npm run bench -- [options]

What is measured (default: cases)
  --growth            how time, memory and overhead of a call grow with each size, instead of cases
  --tax               what TypeScript costs over a loop in C++ that runs the same kernels, instead of cases
  --save              cases, --growth and --tax; not for a part of the cases; writes bench/results/<date>-<device>.json, plots beside it, and
                      bench/RESULTS.md (about 20 minutes)
  --report            measures nothing: writes plots and bench/RESULTS.md again from the newest kept results
  --list              show ops, shapes and peers
  --help              this text

Which cases
  --op NAME...        ops to measure (default: a representative set of all; --list shows them)
  --shape AxB...      shapes, in the letters that --list shows
  --dtype f32,bf16    element types
  --all               every case, not the representative ones only; with --growth, larger sizes

On what
  --device NAME       cpu (default), webgpu, cuda or cuda:emulated
  --software          webgpu: takes an adapter that computes on the CPU, in small shapes; never done unasked
  --threads 1,2       threads of every implementation (default: 1 and all cores)
  --isa avx512,avx2   instruction sets (default: the best, and avx2 for one linear)
  --peers a,b         peers to compare with, or none (default: all that are installed)
  --repeats N         samples of each implementation (default: 9)
  --seconds N         begin no further case after so many, and name what was left out (default: 220 where neither --op,
                      --all nor --save is given, so that the representative set takes less than five minutes); the
                      first case of every op comes before the second ones, and less is compiled

Where to
  --json FILE         write the results as JSON, after every case: who stops the bench keeps what was measured
  --plots FOLDER      write the plots as SVG; means --growth

Every implementation of a case works on the same inputs, is compared with float64 at sampled rows, and is timed in turn
with the others; prefgrad runs twice, and what differs less than it does from itself is marked. PREFGRAD_PYTHON names the
Python of the Python peers; NODE_PATH may point at onnxruntime-node and @tensorflow/tfjs. torch-openblas is a PyTorch of another
Python, without MKL, where the first one has MKL: whole steps are held against both.

--device webgpu measures prefgrad alone: time on the device by timestamp queries where the adapter has them, and whole calls.
--device cuda is a bench of its own, beside PyTorch on the same GPU: its options are those of
\`npm run bench -- --device cuda --help\`, and docs/cuda.md says how to read it.`

/** Devices by the names that openDevice() knows. */
export type BenchDevice = 'cpu' | 'webgpu'
const DEVICES: readonly BenchDevice[] = ['cpu', 'webgpu']
const CUDA = ['cuda', 'cuda:emulated']

/** What a run measures. */
export type Part = 'cases' | 'growth' | 'tax'

export interface Command {
  device: BenchDevice
  parts: readonly Part[]
  software: boolean
  ops?: string[]
  shapes?: string[]
  dtypes?: Dtype[]
  threads?: number[]
  isas?: string[]
  peers?: string[]
  repeats: number
  seconds: number
  all: boolean
  json?: string
  plots?: string
  save: boolean
  report: boolean
  list: boolean
  help: boolean
}

const LISTS = ['op', 'shape', 'dtype', 'threads', 'isa', 'peers'] as const
const SINGLES = ['repeats', 'seconds', 'json', 'plots', 'device'] as const
const FLAGS = ['all', 'growth', 'tax', 'save', 'report', 'software', 'list', 'help'] as const
const KNOWN: readonly string[] = [...LISTS, ...SINGLES, ...FLAGS]
/** With what the last case takes, less than five minutes. */
const SECONDS = 220
/** What would leave a part of a run where results of whole runs are kept. */
const PARTIAL = ['op', 'shape', 'dtype', 'threads', 'isa', 'peers'] as const
/** What says nothing to a device that has one queue and no peers. */
const CPU_ONLY = ['threads', 'isa', 'peers', 'growth', 'tax', 'plots'] as const

/**
 * The words for the CUDA bench, which reads its own command line; undefined: another device is meant. `folder` is where
 * `--save` puts its results.
 */
export const cudaWords = (words: readonly string[], folder: string): string[] | undefined => {
  const at = words.findIndex((word) => word === '--device' || word.startsWith('--device='))
  const device = words[at]?.includes('=') ? words[at].slice('--device='.length) : words[at + 1]
  if (at < 0 || !CUDA.includes(device)) return undefined
  return words.flatMap((word) => (word === '--save' ? ['--results', folder] : [word]))
}

const didYouMean = (name: string, known: readonly string[]): string => {
  const meant = nearest(name, known)
  return meant === undefined ? `Known: ${known.join(', ')}.` : `Did you mean '${meant}'?`
}

const usage = (message: string, arg: string, value: unknown, fix: string): never =>
  refuse('ERR_USAGE', message, { arg, value, fix })

const member = (what: string, value: string, known: readonly string[]): void => {
  if (!known.includes(value)) usage(`there is no ${what} '${value}'.`, what, value, didYouMean(value, known))
}

const counts = (name: string, values: readonly string[]): number[] =>
  values.map((text) => {
    const n = Number(text)
    if (!Number.isSafeInteger(n) || n < 1) {
      usage(`--${name} must be whole numbers above 0, and is '${text}'.`, name, text, `Such as --${name} 1,2.`)
    }
    return n
  })

/** Options as they were written: each takes the words up to the next option; commas separate too. */
const collect = (words: readonly string[]): Map<string, string[]> => {
  const found = new Map<string, string[]>()
  let current: string | undefined
  for (const word of words) {
    if (word.startsWith('--')) {
      const [name, value] = word.slice(2).split('=', 2)
      if (!KNOWN.includes(name)) usage(`there is no option --${name}.`, name, word, didYouMean(name, KNOWN))
      current = name
      found.set(name, [...(found.get(name) ?? []), ...(value === undefined ? [] : value.split(','))])
    } else if (current === undefined || (FLAGS as readonly string[]).includes(current)) {
      usage(`'${word}' belongs to no option.`, word, word, 'Ops are named with --op; --help shows all options.')
    } else {
      found.get(current)!.push(...word.split(',').filter((part) => part !== ''))
    }
  }
  for (const [name, values] of found) {
    if (!(FLAGS as readonly string[]).includes(name) && values.length === 0) {
      usage(`--${name} needs a value.`, name, undefined, '--help shows an example.')
    }
  }
  return found
}

/**
 * Reads the command line.
 *
 * @throws PrefgradError `ERR_USAGE` with what was probably meant
 */
export const readCommand = (
  words: readonly string[],
  families: readonly Family[],
  peerNames: readonly string[],
): Command => {
  const found = collect(words)
  const ops = found.get('op')
  for (const op of ops ?? [])
    member(
      'op',
      op,
      families.map((family) => family.op),
    )
  for (const dtype of found.get('dtype') ?? []) member('dtype', dtype, Object.keys(BYTES))
  const named = found.get('peers')
  const peers = named?.length === 1 && named[0] === 'none' ? [] : named
  for (const peer of peers ?? []) member('peer', peer, peerNames)
  for (const shape of found.get('shape') ?? []) {
    if (!/^[1-9]\d*(x[1-9]\d*)*$/.test(shape)) {
      usage(`'${shape}' is no shape.`, 'shape', shape, 'Write sizes with an x between them: 512x128256.')
    }
  }
  const threads = found.get('threads')
  const [device] = found.get('device') ?? ['cpu']
  member('device', device, [...DEVICES, ...CUDA])
  const stranger =
    device === 'cpu' ? (found.has('software') ? 'software' : undefined) : CPU_ONLY.find((name) => found.has(name))
  if (stranger !== undefined) {
    usage(
      `--${stranger} means nothing to --device ${device}.`,
      stranger,
      device,
      '--help says what each device is measured by.',
    )
  }
  const growth = found.has('growth') || found.has('plots')
  const tax = found.has('tax')
  const save = found.has('save')
  const part = save ? PARTIAL.find((name) => found.has(name)) : undefined
  if (part !== undefined) {
    usage(
      `--save keeps whole runs, and --${part} asks for a part of one.`,
      part,
      found.get(part)!.join(),
      'Write a part with --json FILE, or leave that option out.',
    )
  }
  const parts: Part[] = [
    ...(save || !(growth || tax) ? ['cases' as const] : []),
    ...(device === 'cpu' && (save || growth) ? ['growth' as const] : []),
    ...(device === 'cpu' && (save || tax) ? ['tax' as const] : []),
  ]
  return {
    device: device as BenchDevice,
    parts,
    software: found.has('software'),
    ...(ops === undefined ? {} : { ops }),
    ...(found.has('shape') ? { shapes: found.get('shape') } : {}),
    ...(found.has('dtype') ? { dtypes: found.get('dtype') as Dtype[] } : {}),
    ...(threads === undefined ? {} : { threads: counts('threads', threads) }),
    ...(found.has('isa') ? { isas: found.get('isa') } : {}),
    ...(peers === undefined ? {} : { peers }),
    ...(found.has('json') ? { json: found.get('json')![0] } : {}),
    ...(found.has('plots') ? { plots: found.get('plots')![0] } : {}),
    repeats: counts('repeats', found.get('repeats') ?? ['9'])[0],
    seconds: found.has('seconds')
      ? counts('seconds', found.get('seconds')!)[0]
      : ['op', 'all', 'save'].some((name) => found.has(name))
        ? Number.POSITIVE_INFINITY
        : SECONDS,
    all: found.has('all'),
    save,
    report: found.has('report'),
    list: found.has('list'),
    help: found.has('help'),
  }
}
