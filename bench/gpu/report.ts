/** Results of the GPU bench as text. */

import { aligned, ratioText, three } from '../text.ts'
import { caseName } from './cases/index.ts'
import { goalText } from './goals.ts'
import type { CaseResult, Ceiling, Environment, Measure, PeerAbout, Planned, Results, Row } from './types.ts'

const nameOf = ({ op, shape, dtype }: CaseResult): string => caseName({ op, shape, dtype: dtype as Planned['dtype'] })

const caseTable = ({ rows, unit }: CaseResult): string[][] => {
  const own = rows[0]?.times.cold?.median
  const [timeUnit, scale] = own !== undefined && own < 0.1 ? ['us', 1e3] : ['ms', 1]
  const time = (row: Row, measure: Measure): string => {
    const median = row.times[measure]?.median
    return median === undefined ? '' : three(median * scale)
  }
  const spread = ({ times: { cold } }: Row): string =>
    cold === undefined ? '' : `${three(cold.p20 * scale)}-${three(cold.p80 * scale)}`
  const columns: [string, (row: Row) => string][] = [
    ['implementation', (row) => row.implementation],
    ['n', (row) => String(row.times.cold?.samples ?? '')],
    [`cold ${timeUnit}`, (row) => time(row, 'cold')],
    ['p20-p80', spread],
    [unit, ({ rate }) => (rate === undefined ? '' : three(rate))],
    ['of ceiling', ({ ofCeiling }) => (ofCeiling === undefined ? '' : `${(ofCeiling * 100).toFixed(0)} %`)],
    ['vs prefgrad', ratioText],
    [`warm ${timeUnit}`, (row) => time(row, 'warm')],
    [`full ${timeUnit}`, (row) => time(row, 'full')],
    [`enqueue ${timeUnit}`, (row) => time(row, 'enqueue')],
    ['max error', ({ maxError }) => (maxError === undefined ? '' : maxError === 0 ? '0' : maxError.toExponential(1))],
  ]
  // What failed is said below the table.
  const timed = rows.filter(({ times }) => times.cold !== undefined)
  const shown = columns.filter(([, cell]) => timed.some((row) => cell(row) !== ''))
  return [shown.map(([title]) => title), ...timed.map((row) => shown.map(([, cell]) => cell(row)))]
}

/** A case as it is printed. */
export const caseText = (result: CaseResult): string => {
  if (result.skipped !== undefined) return `${nameOf(result)}: left out, ${result.skipped}\n`
  const noise = result.noise === undefined ? '' : `; noise ${(result.noise * 100).toFixed(1)} %`
  return [
    `${nameOf(result)}${noise}${result.note === undefined ? '' : ` (${result.note})`}`,
    ...aligned(caseTable(result)).map((line) => `  ${line}`),
    ...result.rows.flatMap(({ implementation, failed }) =>
      failed === undefined ? [] : [`  ${implementation}: ${failed}`],
    ),
    ...result.goals.map((goal) => `  ${goalText(goal)}`),
    '',
  ].join('\n')
}

export const environmentLines = (e: Environment): string[] => [
  `prefgrad ${e.version}, commit ${e.commit}, Node ${e.node}, ${e.date}`,
  `${e.device}, compute capability ${e.capability}, ${e.multiprocessors} multiprocessors, ${e.memoryGiB} GiB`,
  ...(e.emulated ? ['EMULATED on the CPU: nothing below says anything about a GPU.'] : []),
  ...(e.driverCuda === undefined ? [] : [`driver for CUDA ${e.driverCuda}, kernels of CUDA ${e.kernelsCuda}`]),
  ...e.gpu.map((said) =>
    Object.entries(said)
      .map(([field, value]) => `${field} ${value}`)
      .join(', '),
  ),
  e.command,
]

export const aboutLine = ({ peer, version, details }: PeerAbout): string =>
  [`${peer} ${version}`.trim(), ...details].join('; ')

export const ceilingLines = (ceilings: readonly Ceiling[]): string[] =>
  ceilings.map(({ name, rate, unit, source }) => `ceiling ${name}: ${three(rate)} ${unit} (${source})`)

/** Every goal of the run in one place. Goals are those of an H200. */
export const goalLines = ({ cases, environment, left }: Results): string[] => {
  const all = cases.flatMap((one) => one.goals.map((goal) => ({ one, goal })))
  const counted = all.filter(({ goal }) => goal.met !== undefined)
  const met = counted.filter(({ goal }) => goal.met).length
  const where = environment.device.includes('H200') ? '' : ' (they are stated for an H200, which this is not)'
  return [
    `goals${where}: ${met} of ${counted.length} met`,
    ...all.map(({ one, goal }) => `  ${nameOf(one)}: ${goalText(goal)}`),
    ...(left.length === 0 ? [] : [`not begun because the time was up: ${left.join(', ')}`]),
  ]
}
