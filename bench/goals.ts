/** What a case should reach, held against what it reached. */
import type { Goal, GoalResult, Row, Work } from './types.ts'

const best = (rows: readonly Row[]): Row | undefined =>
  rows.reduce<Row | undefined>((found, row) => (found === undefined || row.min < found.min ? row : found), undefined)

const microseconds = (ms: number): string => `${Number((ms * 1e3).toPrecision(3))} us`

const judge = (goal: Goal, work: Work, rows: readonly Row[], threads: number): GoalResult => {
  const counted = rows.filter((row) => row.threads === threads && row.failed === undefined)
  const own = counted.find((row) => row.peer === 'prefgrad')
  const result = (text: string, reached: number | undefined, met: (value: number) => boolean): GoalResult =>
    reached === undefined ? { text, threads } : { text, threads, reached, met: met(reached) }
  switch (goal.of) {
    case 'ceiling': {
      const text = `at least ${goal.atLeast * 100} % of the ceiling`
      return result(text, own?.ofCeiling, (share) => share >= goal.atLeast)
    }
    case 'peers':
    case 'peer': {
      const there = goal.names.filter((name) => counted.some(({ peer }) => peer === name))
      const names = goal.of === 'peer' ? there.slice(0, 1) : there
      const fastest = best(counted.filter(({ peer }) => names.includes(peer)))
      const text = `at least ${goal.atLeast} times the speed of ${fastest?.implementation ?? goal.names.join(' or ')}`
      return result(text, fastest?.ratio, (ratio) => ratio >= goal.atLeast)
    }
    case 'rate':
      return result(`at least ${goal.atLeast} ${work.unit}`, own?.rate, (rate) => rate >= goal.atLeast)
    case 'time': {
      const row = counted.find(({ implementation }) => implementation === `prefgrad, ${goal.variant}`)
      return result(`${goal.variant}: at most ${microseconds(goal.atMost)} a call`, row?.min, (ms) => ms <= goal.atMost)
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

/** How a goal's figure is written: a share, a factor, a rate or a time. */
export const goalText = ({ text, threads, reached, met }: GoalResult): string => {
  const where = `${threads} thread${threads === 1 ? '' : 's'}`
  if (reached === undefined) return `not measured: ${text} (${where})`
  const figure = text.includes('ceiling')
    ? `${(reached * 100).toFixed(0)} %`
    : text.includes('times')
      ? `${reached.toFixed(2)} times`
      : text.includes('a call')
        ? microseconds(reached)
        : `${Number(reached.toPrecision(3))}`
  return `${met ? 'met' : 'MISSED'}: ${text}: ${figure} (${where})`
}
