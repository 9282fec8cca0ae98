/** Order statistics of a few samples. */

/** The value below which a share of the samples lies, between neighbours in proportion. */
export const quantile = (sorted: readonly number[], share: number): number => {
  const at = share * (sorted.length - 1)
  const below = Math.floor(at)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below] + (sorted[above] - sorted[below]) * (at - below)
}

export interface Summary {
  min: number
  median: number
  p20: number
  p80: number
}

export const summarize = (samples: readonly number[]): Summary => {
  const sorted = [...samples].sort((a, b) => a - b)
  return { min: sorted[0], median: quantile(sorted, 0.5), p20: quantile(sorted, 0.2), p80: quantile(sorted, 0.8) }
}

/** Two timings that this run cannot tell apart: the middle three fifths of their samples overlap. */
export const withinNoise = (a: Summary, b: Summary): boolean => a.p20 <= b.p80 && b.p20 <= a.p80

/** How far two runs of the same thing are apart, as a share: what differs less differs by chance. */
export const selfNoise = (once: Summary, again: Summary): number =>
  Math.max(Math.abs(again.min / once.min - 1), Math.abs(again.median / once.median - 1))
