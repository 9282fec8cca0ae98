/** Results as text for the terminal and as Markdown for the repository. */
import { goalText } from './goals.ts'
import { AGAIN } from './noise.ts'
import { aligned, ratioText, threadsText, three } from './text.ts'
import type { About, CaseResult, Ceiling, Environment, Row } from './types.ts'

const share = (n: number | undefined): string => (n === undefined ? '' : `${(n * 100).toFixed(0)} %`)
const error = (n: number | undefined): string => (n === undefined ? '' : n === 0 ? '0' : n.toExponential(1))

/** Times of very short calls read better in microseconds. */
const timeUnit = ({ rows }: CaseResult): { name: string; scale: number } => {
  const own = rows.find((row) => row.peer === 'prefgrad' && row.min > 0)
  return own !== undefined && own.min < 0.1 ? { name: 'us', scale: 1e3 } : { name: 'ms', scale: 1 }
}

/** Header and body of a case's table; columns that say nothing are left out. */
export const caseTable = (result: CaseResult): string[][] => {
  const { name, scale } = timeUnit(result)
  const time = (t: number): string => three(t * scale)
  // Where a call is mostly overhead, bytes a second mean nothing.
  const isOverhead = result.isOverhead === true
  const columns: [string, (row: Row) => string][] = [
    ['implementation', (row) => row.implementation + (row.failed === undefined ? '' : `: ${row.failed}`)],
    ['threads', (row) => (row.threads === 0 ? '' : String(row.threads))],
    ['n', ({ samples }) => (samples === 0 ? '' : String(samples))],
    [`min ${name}`, ({ samples, min }) => (samples === 0 ? '' : time(min))],
    ['median', ({ samples, median }) => (samples === 0 ? '' : time(median))],
    ['p20', ({ samples, p20 }) => (samples === 0 ? '' : time(p20))],
    ['p80', ({ samples, p80 }) => (samples === 0 ? '' : time(p80))],
    [result.unit, ({ samples, rate }) => (samples === 0 || isOverhead ? '' : three(rate))],
    ['of ceiling', (row) => share(row.ofCeiling)],
    [isOverhead ? 'call overhead, vs prefgrad' : 'vs prefgrad', ratioText],
    ['max error', (row) => error(row.maxError)],
  ]
  const shown = columns.filter(([, cell]) => result.rows.some((row) => cell(row) !== ''))
  return [shown.map(([title]) => title), ...result.rows.map((row) => shown.map(([, cell]) => cell(row)))]
}

export const markdown = (table: readonly string[][]): string[] => {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const [header, ...body] = table
  return [line(header), line(header.map((_, c) => (c === 0 ? '---' : '---:'))), ...body.map(line)]
}

export const caseTitle = ({ op, shape, dtype, isa, isOverhead }: CaseResult): string =>
  `${op} [${shape}] ${dtype}, ${isa}${isOverhead === true ? ', call overhead' : ''}`

/** A case as it is printed. */
export const caseText = (result: CaseResult): string =>
  [
    caseTitle(result) + (result.note === undefined ? '' : ` (${result.note})`),
    ...aligned(caseTable(result)).map((line) => `  ${line}`),
    ...result.goals.map((goal) => `  ${goalText(goal)}`),
    '',
  ].join('\n')

export const environmentLines = (e: Environment): string[] => [
  `prefgrad ${e.version}, commit ${e.commit}, ${e.device}${e.isas.length > 0 ? ` of ${e.isas.join(', ')}` : ''}`,
  `${e.cpu}, ${e.cores} cores, ${e.memoryGiB} GiB, ${e.platform}, Node ${e.node}`,
  `load average ${e.load.join(', ')}; ${e.date}; ${e.command}`,
]

/** A sentence if other work may have slowed the run. */
export const busyLines = ({ load, cores }: Environment): string[] =>
  load[0] > 0.5 * cores
    ? ['The machine was busy when the run began: take the figures as lower bounds, and the ratios as rough.']
    : []

const aboutLine = ({ peer, version, threads, isa, details, gemm }: About): string => {
  const rate = gemm === undefined ? '' : `; GEMM 1024^3 ${three(gemm)} GFLOP/s`
  const told = isa === '' ? '' : `, ${isa}`
  return `${peer}: ${version}, ${threadsText(threads)}${told}; ${details.join('; ')}${rate}`
}
export const aboutLines = (about: readonly About[]): string[] => about.map(aboutLine)

export const ceilingTable = (ceilings: readonly Ceiling[]): string[][] => [
  ['ceiling', 'threads', 'rate', ''],
  ...ceilings.map(({ kind, isa, threads, rate, unit }) => [
    isa === '' ? kind : `${kind} ${isa}`,
    threads === 0 ? '' : String(threads),
    three(rate),
    unit,
  ]),
]
export const ceilingLines = (ceilings: readonly Ceiling[]): string[] => aligned(ceilingTable(ceilings))

/** A PyTorch or NumPy without a good BLAS makes every comparison of whole models worthless: say so. */
export const slowPeerLines = (about: readonly About[], ceilings: readonly Ceiling[]): string[] =>
  about.flatMap(({ peer, threads, isa, gemm }) => {
    const peak = ceilings.find((one) => one.kind === 'multiplyAdd' && one.isa === isa && one.threads === threads)?.rate
    return gemm !== undefined && peak !== undefined && gemm < peak / 2
      ? [
          `${peer} multiplies matrices at ${share(gemm / peak)} of the peak (${threads} threads, ${isa}): ` +
            'its BLAS is slow, or the machine busy',
        ]
      : []
  })

export const LEGEND = [
  'min, median, p20 and p80 are times of one call; the rate and every comparison are those of the least times.',
  'prefgrad is timed as its trainers call it, prepared: outputs keep their memory from call to call. A peer makes its own, as its ' +
    "users' calls do; so does 'prefgrad, eager'.",
  'of ceiling: of what this machine does at best with as many bytes (or operations), as warm: what a cache holds is held against ' +
    'that cache.',
  'vs prefgrad: how many times as long as prefgrad it takes; ~ marks what this run cannot tell apart from prefgrad, ' +
    `because the times overlap, or differ less than those of '${AGAIN}': the same calls, timed as another implementation.`,
  'max error: largest difference from float64 at sampled rows (of whole steps: from prefgrad), as a share of the largest value.',
]
