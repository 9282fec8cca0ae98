/** What a case should reach on an H200, held against what it reached. */
import { three } from '../text.ts'
import type { Goal, GoalResult, Row } from './types.ts'

const microseconds = (ms: number): string => (ms < 0.1 ? `${three(ms * 1e3)} us` : `${three(ms)} ms`)
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

const judge = (goal: Goal, row: Row, rateOf: (name: string) => number | undefined): GoalResult => {
  const result = (text: string, reached: number | undefined, met: (value: number) => boolean): GoalResult =>
    reached === undefined || row.failed !== undefined ? { text } : { text, reached, met: met(reached) }
  switch (goal.of) {
    case 'time': {
      const by = goal.by === undefined ? '' : ` (${goal.by})`
      const text = `${goal.measure} at most ${microseconds(goal.atMost)}${by}`
      return result(text, row.times[goal.measure]?.median, (ms) => ms <= goal.atMost)
    }
    case 'rate':
      return result(`at least ${goal.atLeast} GB/s`, row.rate, (rate) => rate >= goal.atLeast)
    case 'case': {
      const other = rateOf(goal.other)
      const share = row.rate === undefined || other === undefined ? undefined : row.rate / other
      const text = `at least ${percent(goal.atLeast)} of the rate of ${goal.other}`
      return result(text, share, (reached) => reached >= goal.atLeast)
    }
    case 'overhead': {
      const [full, device] = [row.times.full?.median, row.times.cold?.median]
      const over = full === undefined || device === undefined ? undefined : full / device - 1
      return result(`a whole call at most ${percent(goal.atMost)} longer`, over, (share) => share <= goal.atMost)
    }
  }
}

/** @param rateOf the rate that another case reached */
export const judgeGoals = (
  goals: readonly Goal[],
  row: Row,
  rateOf: (name: string) => number | undefined,
): GoalResult[] => goals.map((goal) => judge(goal, row, rateOf))

/** What was reached, in the goal's own words. */
export const goalText = ({ text, reached, met }: GoalResult): string => {
  if (reached === undefined) return `not measured: ${text}`
  const figure = text.includes('GB/s')
    ? `${reached.toFixed(0)} GB/s`
    : text.includes('at most') && !text.includes('longer')
      ? microseconds(reached)
      : percent(reached)
  return `${met ? 'met' : 'NOT MET'}: ${text}: ${figure}`
}
