/** The words after `npm run bench --`. */
import { BYTES, type Dtype } from '../lib/dtype.ts'
import { nearest, refuse } from '../lib/refuse.ts'
import type { Family } from './cases/index.ts'

export const USAGE = `npm run bench -- [options]

  --op NAME...        ops to measure (default: a representative set of all; --list shows them)
  --shape AxB...      shapes, in the letters that --list shows
  --dtype f32,bf16    element types
  --threads 1,2       threads of every implementation (default: 1 and all cores)
  --isa avx512,avx2   instruction sets (default: the best, and avx2 for linear)
  --peers a,b         peers to compare with, or none (default: all that are installed)
  --repeats N         samples of each implementation (default: 9)
  --all               every case, not the representative ones only
  --json FILE         write the results as JSON
  --save              write bench/results/<date>-<device>.json and bench/RESULTS.md
  --list              show ops, shapes and peers
  --help              this text

Every implementation of a case works on the same inputs, is compared with float64 at sampled rows, and is timed in turn
with the others. PREFGRAD_PYTHON names the Python of the Python peers; NODE_PATH may point at onnxruntime-node.`

export interface Command {
  ops?: string[]
  shapes?: string[]
  dtypes?: Dtype[]
  threads?: number[]
  isas?: string[]
  peers?: string[]
  repeats: number
  all: boolean
  json?: string
  save: boolean
  list: boolean
  help: boolean
}

const LISTS = ['op', 'shape', 'dtype', 'threads', 'isa', 'peers'] as const
const SINGLES = ['repeats', 'json'] as const
const FLAGS = ['all', 'save', 'list', 'help'] as const
const KNOWN: readonly string[] = [...LISTS, ...SINGLES, ...FLAGS]

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
  return {
    ...(ops === undefined ? {} : { ops }),
    ...(found.has('shape') ? { shapes: found.get('shape') } : {}),
    ...(found.has('dtype') ? { dtypes: found.get('dtype') as Dtype[] } : {}),
    ...(threads === undefined ? {} : { threads: counts('threads', threads) }),
    ...(found.has('isa') ? { isas: found.get('isa') } : {}),
    ...(peers === undefined ? {} : { peers }),
    ...(found.has('json') ? { json: found.get('json')![0] } : {}),
    repeats: counts('repeats', found.get('repeats') ?? ['9'])[0],
    all: found.has('all'),
    save: found.has('save'),
    list: found.has('list'),
    help: found.has('help'),
  }
}
