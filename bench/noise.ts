/** What a run cannot tell apart, by timing the same calls as two implementations. */
import { selfNoise } from './statistics.ts'
import type { Implementation, Row } from './types.ts'

/** The second run of what peers are compared with. */
export const AGAIN = 'prefgrad, again'

/** The first implementation once more, at the end; it is judged and let go of once. */
export const withAgain = (implementations: readonly Implementation[]): Implementation[] => {
  const [first] = implementations
  if (first === undefined) return []
  const { peer, sample } = first
  return [...implementations, { name: AGAIN, peer, sample }]
}

/** Marks what differs less from prefgrad than prefgrad does from itself, at each number of threads. */
export const markNoise = (rows: readonly Row[]): Row[] =>
  rows.map((row) => {
    const at = rows.filter(({ threads, failed }) => threads === row.threads && failed === undefined)
    const own = at.find(({ peer }) => peer === 'prefgrad')
    const again = at.find(({ implementation }) => implementation === AGAIN)
    if (own === undefined || again === undefined || row === own || row.ratio === undefined) return row
    return Math.abs(row.ratio - 1) <= selfNoise(own, again) ? { ...row, withinNoise: true } : row
  })
