/** The results of a run in short: one line a case, and where prefgrad loses. */

import { formatTime } from './growth_chart.ts'
import { ratioText, threadsText } from './text.ts'
import type { CaseResult, Row } from './types.ts'

/** What counts as a comparison: not prefgrad in other ways, not a ceiling, nothing that failed. */
const compared = ({ rows }: CaseResult, threads: number): Row[] =>
  rows.filter(
    (row) =>
      row.threads === threads &&
      row.peer !== 'prefgrad' &&
      row.peer !== 'ceiling' &&
      row.failed === undefined &&
      row.ratio !== undefined,
  )

const least = (rows: readonly Row[]): Row | undefined =>
  rows.reduce<Row | undefined>((found, row) => (found === undefined || row.min < found.min ? row : found), undefined)

const threadsOf = ({ rows }: CaseResult): number[] => [...new Set(rows.map(({ threads }) => threads))]

const caseName = ({ op, shape, dtype, isa }: CaseResult): string => `\`${op}\` at ${shape} ${dtype}, ${isa}`

/** What takes less than this share of prefgrad's time is named even where the run cannot tell the two apart. */
const PERHAPS = 0.95

/** Every peer that was faster than prefgrad, as a sentence; the fastest of each case. */
export const lossSentences = (cases: readonly CaseResult[]): string[] =>
  cases.flatMap((one) =>
    threadsOf(one).flatMap((threads) => {
      const fastest = least(compared(one, threads))
      if (fastest === undefined || fastest.ratio! >= 1) return []
      const isUnsure = fastest.withinNoise === true
      if (isUnsure && fastest.ratio! > PERHAPS) return []
      const times = (1 / fastest.ratio!).toFixed(2)
      const perhaps = isUnsure ? 'perhaps ' : ''
      const overhead = one.isOverhead === true ? ' (call overhead)' : ''
      return [
        `${caseName(one)}, ${threadsText(threads)}: ${fastest.implementation} is ${perhaps}${times} times as fast${overhead}.`,
      ]
    }),
  )

/** A line for each case and number of threads: the least time, and how many times as long the fastest way of each peer takes. */
export const summaryTable = (cases: readonly CaseResult[]): string[][] => {
  const peers = [
    ...new Set(
      cases.flatMap((one) => threadsOf(one).flatMap((threads) => compared(one, threads).map(({ peer }) => peer))),
    ),
  ]
  const lines = cases.flatMap((one) =>
    threadsOf(one).flatMap((threads) => {
      const own = one.rows.find((row) => row.peer === 'prefgrad' && row.threads === threads && row.failed === undefined)
      if (own === undefined) return []
      const ratios = peers.map((peer) => {
        const row = least(compared(one, threads).filter((other) => other.peer === peer))
        return row === undefined ? '' : ratioText(row)
      })
      const share = own.ofCeiling === undefined ? '' : `${(own.ofCeiling * 100).toFixed(0)} %`
      const name = `${one.op} ${one.shape} ${one.dtype}, ${one.isa}${one.isOverhead === true ? ' (call overhead)' : ''}`
      return [[name, threads === 0 ? '' : String(threads), formatTime(own.min), share, ...ratios]]
    }),
  )
  return [['case', 'threads', 'prefgrad', 'of ceiling', ...peers], ...lines]
}
