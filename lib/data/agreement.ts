import type { PreferencePair } from './types.ts'

/** How far annotators who judged the same pairs agree. */
export interface Agreement {
  /** Distinct pairs of responses: by prompt and the two texts, whichever way round they were given. */
  items: number
  /** Items judged by two annotators or more; only these can agree. */
  itemsJudgedTwice: number
  annotators: number
  /**
   * The chance that two annotators of an item gave it the same verdict, averaged over the items judged twice; null
   * when there is none.
   */
  percentAgreement: number | null
  /** {@link krippendorffAlpha} over the verdicts: one response, the other, tie, both-bad. */
  alpha: number | null
}

/** One row of a file, turned so that all rows of an item mean the same by `chosen`. */
interface Judgement {
  pair: PreferencePair
  swapped: boolean
}

/**
 * Agreement statistics of a file with several annotators (read it with `keep: 'all'`, or `both-bad` verdicts are not
 * counted). Rows without an `annotator` count as one person each; of several rows of one annotator on one item the last
 * counts; `skip` is no judgement.
 */
export function agreement(pairs: Iterable<PreferencePair>): Agreement {
  const annotators = new Set<string | symbol>()
  const units: string[][] = []
  for (const judgements of judgementsByItem(pairs)) {
    const verdicts: string[] = []
    for (const [annotator, judgement] of judgements) {
      annotators.add(annotator)
      if (judgement.pair.verdict !== 'skip') verdicts.push(verdictOf(judgement))
    }
    units.push(verdicts)
  }
  const judgedTwice = units.filter(({ length }) => length >= 2)
  const shares = judgedTwice.map(agreeingShare)
  return {
    items: units.length,
    itemsJudgedTwice: judgedTwice.length,
    annotators: annotators.size,
    percentAgreement: shares.length === 0 ? null : shares.reduce((sum, share) => sum + share, 0) / shares.length,
    alpha: krippendorffAlpha(units),
  }
}

/**
 * Krippendorff's α for nominal data (Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section C):
 * `α = 1 − (n − 1)·Σ_{c≠k} o_ck / Σ_{c≠k} n_c·n_k`, o the coincidences of values within units. 1 is perfect agreement,
 * 0 what chance gives, below 0 systematic disagreement.
 *
 * @param units the values given to each unit, in any order; units with fewer than two are left out.
 * @returns null when α is not defined: nothing was judged twice, or only one value occurs.
 */
export function krippendorffAlpha(units: Iterable<readonly (string | number)[]>): number | null {
  const totals = new Map<string | number, number>()
  let pairable = 0
  let disagreements = 0
  for (const values of units) {
    if (values.length < 2) continue
    pairable += values.length
    for (const value of values) totals.set(value, (totals.get(value) ?? 0) + 1)
    // Σ_{c≠k} o_ck of this unit: its ordered pairs of unlike values, over (m − 1).
    disagreements += values.length * (1 - agreeingShare(values))
  }
  let unlike = pairable * pairable
  for (const total of totals.values()) unlike -= total * total
  return unlike === 0 ? null : 1 - ((pairable - 1) * disagreements) / unlike
}

/**
 * Merges the rows in which several annotators judged the same two responses into one pair with a soft preference: the
 * mean of theirs, `chosen` being the response that the mean favours. `margin` and `weight` are means too (missing ones
 * counting as 0 and 1; missing when all are); `annotator` and `verdict` are gone. An item judged once stays as it is.
 *
 * Rows are matched whichever way round they give the responses. Rows that hold no preference (`both-bad`, `skip`) have
 * no part in a mean; an item with none left is left out.
 */
export function mergeAnnotators(pairs: Iterable<PreferencePair>): PreferencePair[] {
  const merged: PreferencePair[] = []
  for (const judgements of judgementsByItem(pairs)) {
    const rows = [...judgements.values()].filter(({ pair }) => pair.verdict !== 'both-bad' && pair.verdict !== 'skip')
    if (rows.length === 1) merged.push(rows[0].pair)
    else if (rows.length > 1) merged.push(mergeRows(rows))
  }
  return merged
}

function mergeRows(rows: readonly Judgement[]): PreferencePair {
  const mean = (value: (row: Judgement) => number) => rows.reduce((sum, row) => sum + value(row), 0) / rows.length
  const { prompt, chosen, rejected, line } = rows[0].pair
  // Everything is measured as the first row has it, then turned if the mean favours its rejected response.
  const sameWay = (row: Judgement) => row.swapped === rows[0].swapped
  const preference = mean((row) => (sameWay(row) ? preferenceOf(row.pair) : 1 - preferenceOf(row.pair)))
  const turn = preference < 0.5
  const merged: PreferencePair = {
    prompt,
    chosen: turn ? rejected : chosen,
    rejected: turn ? chosen : rejected,
    preference: turn ? 1 - preference : preference,
  }
  if (rows.some(({ pair }) => pair.margin !== undefined)) {
    merged.margin = mean((row) => (sameWay(row) !== turn ? (row.pair.margin ?? 0) : -(row.pair.margin ?? 0)))
  }
  if (rows.some(({ pair }) => pair.weight !== undefined)) merged.weight = mean(({ pair }) => pair.weight ?? 1)
  if (line !== undefined) merged.line = line
  return merged
}

/** Per item, in the order of the file: the last row of each annotator. */
function judgementsByItem(pairs: Iterable<PreferencePair>): Iterable<Map<string | symbol, Judgement>> {
  const items = new Map<string, Map<string | symbol, Judgement>>()
  for (const pair of pairs) {
    const swapped = pair.chosen > pair.rejected
    const texts = swapped ? [pair.rejected, pair.chosen] : [pair.chosen, pair.rejected]
    const key = JSON.stringify([pair.prompt, ...texts])
    let item = items.get(key)
    if (item === undefined) {
      item = new Map()
      items.set(key, item)
    }
    item.set(pair.annotator ?? Symbol('anonymous'), { pair, swapped })
  }
  return items.values()
}

function verdictOf({ pair, swapped }: Judgement): string {
  if (pair.verdict === 'both-bad') return 'both-bad'
  const preference = preferenceOf(pair)
  if (preference === 0.5) return 'tie'
  return preference > 0.5 !== swapped ? 'first' : 'second'
}

function preferenceOf({ preference, verdict }: PreferencePair): number {
  return verdict === 'tie' ? 0.5 : (preference ?? 1)
}

/** The share of the pairs of values that are alike. */
function agreeingShare(values: readonly (string | number)[]): number {
  const counts = new Map<string | number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  let alike = 0
  for (const count of counts.values()) alike += count * (count - 1)
  return alike / (values.length * (values.length - 1))
}
