/** What a case should reach, held against what it reached. */
import { AGAIN } from './noise.ts'
import { threadsText, three } from './text.ts'
import type { Goal, GoalResult, Row, Work } from './types.ts'

const best = (rows: readonly Row[]): Row | undefined =>
  rows.reduce<Row | undefined>((found, row) => (found === undefined || row.min < found.min ? row : found), undefined)

const microseconds = (ms: number): string => `${three(ms * 1e3)} us`

/**
 * Reached twice, by prefgrad and by prefgrad again: a goal that the two disagree about is neither met nor missed. Peers are taken at
 * their best number of threads: more can make one slower.
 */
const judge = (goal: Goal, work: Work, rows: readonly Row[], threads: number): GoalResult => {
  const good = rows.filter(({ failed }) => failed === undefined)
  const counted = good.filter((row) => row.threads === threads)
  const own = counted.find(({ peer }) => peer === 'prefgrad')
  const again = counted.find(({ implementation }) => implementation === AGAIN)
  const ceiling = counted.find(({ peer }) => peer === 'ceiling')
  const result = (
    text: string,
    reach: (row: Row) => number | undefined,
    met: (value: number) => boolean,
  ): GoalResult => {
    const reached = own && reach(own)
    if (reached === undefined) return { text, threads }
    const twice = (again && reach(again)) ?? reached
    const most = goal.of === 'peers' || goal.of === 'peer' ? ceiling && reach(ceiling) : undefined
    return {
      text,
      threads,
      reached,
      again: twice,
      ...(most !== undefined && { most }),
      ...(met(reached) === met(twice) && { met: met(reached) }),
    }
  }
  switch (goal.of) {
    case 'ceiling': {
      const text = `at least ${goal.atLeast * 100} % of the ceiling`
      return result(
        text,
        (row) => row.ofCeiling,
        (share) => share >= goal.atLeast,
      )
    }
    case 'peers':
    case 'peer': {
      const others = good.filter((row) => row.threads <= threads)
      const there = goal.names.filter((name) => others.some(({ peer }) => peer === name))
      const names = goal.of === 'peer' ? there.slice(0, 1) : there
      const fastest = best(others.filter(({ peer }) => names.includes(peer)))
      const fewer = fastest === undefined || fastest.threads === threads ? '' : ` with ${threadsText(fastest.threads)}`
      const text = `at least ${goal.atLeast} times the speed of ${fastest?.implementation ?? goal.names.join(' or ')}${fewer}`
      return result(
        text,
        (row) => fastest && fastest.min / row.min,
        (ratio) => ratio >= goal.atLeast,
      )
    }
    case 'rate':
      return result(
        `at least ${goal.atLeast} ${work.unit}`,
        (row) => row.rate,
        (rate) => rate >= goal.atLeast,
      )
    case 'time': {
      const row = counted.find(({ implementation }) => implementation === `prefgrad, ${goal.variant}`)
      // Only the first way to call runs twice.
      const of = (one: Row): number | undefined => (one === own ? row : row === own ? one : undefined)?.min
      return result(`${goal.variant}: at most ${microseconds(goal.atMost)} a call`, of, (ms) => ms <= goal.atMost)
    }
  }
}

/** Every goal at every number of threads that it speaks of and that was measured. */
export const judgeGoals = (work: Work, rows: readonly Row[]): GoalResult[] => {
  const measured = [...new Set(rows.map((row) => row.threads))]
  return work.goals.flatMap((goal) =>
    measured
      .filter((threads) => goal.threads === undefined || goal.threads === threads)
      .map((threads) => judge(goal, work, rows, threads)),
  )
}

const figure = (text: string, value: number): string =>
  text.includes('ceiling')
    ? `${(value * 100).toFixed(0)} %`
    : text.includes('times')
      ? `${value.toFixed(2)} times`
      : text.includes('a call')
        ? microseconds(value)
        : three(value)

/** How a goal's figure is written: a share, a factor, a rate or a time; both, where they disagree about it. */
export const goalText = ({ text, threads, reached, again, met, most }: GoalResult): string => {
  if (reached === undefined) return `not measured: ${text} (${threadsText(threads)})`
  if (met === undefined) {
    return `NOT TOLD: ${text}: ${figure(text, reached)} and ${figure(text, again!)} in one run (${threadsText(threads)})`
  }
  const ceiling = met || most === undefined ? '' : `, ${most.toFixed(2)} at the ceiling`
  return `${met ? 'met' : 'MISSED'}: ${text}: ${figure(text, reached)}${ceiling} (${threadsText(threads)})`
}
