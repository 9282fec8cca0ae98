import { PrefgradError } from '../errors.ts'
import { Random } from '../random.ts'

/** A number with the interval that holds it at the stated level (95 % by default). */
export interface Estimate {
  readonly value: number
  readonly low: number
  readonly high: number
}

/** Outcomes of the pairs of one prompt, from the first policy's side. */
export interface PairCounts {
  readonly wins: number
  readonly ties: number
  readonly losses: number
}

export interface WinRate {
  /** (wins + ties / 2) / pairs. */
  readonly tiesHalf: Estimate
  /** wins / (wins + losses); NaN when every pair is a tie. */
  readonly withoutTies: Estimate
  /** ties / pairs. */
  readonly tieShare: number
  readonly pairs: number
  readonly prompts: number
}

export interface BootstrapOptions {
  readonly seed: number
  /** Resamples drawn, 2000 by default. */
  readonly resamples?: number
  /** Coverage, 0.95 by default. */
  readonly level?: number
}

/**
 * Compares every sample of the first policy with every sample of the second, prompt by prompt: K × L pairs each.
 * For an A/A row give two sets that one policy drew with different seeds; a set against itself is ½ by symmetry.
 *
 * @param prefer preference for its first argument in [0, 1]: a win above ½, a tie at ½.
 * @returns one entry a prompt.
 * @throws PrefgradError `ERR_SHAPE` when the two cover different numbers of prompts, `ERR_BAD_VALUE` when `prefer`
 *   leaves [0, 1].
 */
export function crossPairs<T>(
  first: readonly (readonly T[])[],
  second: readonly (readonly T[])[],
  prefer: (first: T, second: T, prompt: number) => number,
): PairCounts[] {
  requireSameLength('crossPairs', first, second)
  return first.map((samples, prompt) => {
    let wins = 0
    let ties = 0
    let losses = 0
    for (const a of samples) {
      for (const b of second[prompt]) {
        const preference = prefer(a, b, prompt)
        if (!(preference >= 0 && preference <= 1)) {
          throw new PrefgradError('ERR_BAD_VALUE', `The preference at prompt ${prompt} is ${preference}.`, {
            op: 'crossPairs',
            arg: 'prefer',
            index: prompt,
            value: preference,
            fix: 'Return a number from 0 to 1.',
          })
        }
        if (preference > 0.5) wins++
        else if (preference < 0.5) losses++
        else ties++
      }
    }
    return { wins, ties, losses }
  })
}

/**
 * Win rate of the first policy over all pairs, with intervals by {@link bootstrap} over prompts: pairs of one prompt
 * share their samples, so they are not independent and resampling pairs would give an interval far too narrow.
 */
export function winRate(prompts: readonly PairCounts[], options: BootstrapOptions): WinRate {
  const { wins, ties, losses } = totals(prompts)
  const pairs = wins + ties + losses
  return {
    tiesHalf: bootstrap(prompts, (resample) => tiesHalf(totals(resample)), options),
    withoutTies: bootstrap(prompts, (resample) => withoutTies(totals(resample)), options),
    tieShare: ties / pairs,
    pairs,
    prompts: prompts.length,
  }
}

const tiesHalf = ({ wins, ties, losses }: PairCounts) => (wins + ties / 2) / (wins + ties + losses)
const withoutTies = ({ wins, losses }: PairCounts) => wins / (wins + losses)

function totals(prompts: readonly PairCounts[]): PairCounts {
  let wins = 0
  let ties = 0
  let losses = 0
  for (const prompt of prompts) {
    wins += prompt.wins
    ties += prompt.ties
    losses += prompt.losses
  }
  return { wins, ties, losses }
}

/**
 * Percentile bootstrap (Efron 1979): draws as many clusters as there are, with replacement, `resamples` times, and
 * takes the (1 − level)/2 and (1 + level)/2 quantiles of the statistic; resamples where it is NaN are left out.
 *
 * @param clusters what is independent of each other, such as one entry a prompt.
 * @throws PrefgradError `ERR_ARGUMENT` without clusters, `ERR_OPTION` for a level outside (0, 1) or no resamples.
 */
export function bootstrap<T>(
  clusters: readonly T[],
  statistic: (resample: readonly T[]) => number,
  { seed, resamples = 2000, level = 0.95 }: BootstrapOptions,
): Estimate {
  requireSome('bootstrap', clusters, 'clusters')
  requireOption('bootstrap', 'level', level, level > 0 && level < 1, 'Give a number between 0 and 1.')
  requireOption(
    'bootstrap',
    'resamples',
    resamples,
    Number.isSafeInteger(resamples) && resamples > 0,
    'Give at least 1.',
  )
  const random = new Random(seed)
  const drawn = new Float64Array(resamples).map(() =>
    statistic(clusters.map(() => clusters[random.integer(clusters.length)])),
  )
  const numbers = drawn.filter((value) => !Number.isNaN(value))
  if (numbers.length === 0) return { value: statistic(clusters), low: Number.NaN, high: Number.NaN }
  const [low, high] = quantiles(numbers, [(1 - level) / 2, (1 + level) / 2])
  return { value: statistic(clusters), low, high }
}

/**
 * Wilson's score interval for a share of independent trials (Wilson 1927):
 * (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n). It stays inside [0, 1] and is not empty at p = 0 or 1.
 *
 * @param z normal quantile of the coverage; 1.96 gives 95 %.
 * @throws PrefgradError `ERR_OPTION` unless 0 ≤ successes ≤ trials and trials > 0.
 */
export function wilsonInterval(successes: number, trials: number, z = 1.959963984540054): Estimate {
  requireOption('wilsonInterval', 'trials', trials, trials > 0, 'Give at least one trial.')
  const within = successes >= 0 && successes <= trials
  requireOption('wilsonInterval', 'successes', successes, within, `Give a number from 0 to ${trials}.`)
  const share = successes / trials
  const squared = (z * z) / trials
  const centre = (share + squared / 2) / (1 + squared)
  const spread = (z * Math.sqrt((share * (1 - share)) / trials + squared / (4 * trials))) / (1 + squared)
  return { value: share, low: Math.max(0, centre - spread), high: Math.min(1, centre + spread) }
}

/** One bin of a reliability curve; the means are NaN where it is empty. */
export interface ReliabilityBin {
  readonly low: number
  readonly high: number
  readonly count: number
  readonly predicted: number
  readonly observed: number
}

export interface Calibration {
  /** Σ_bins (count / N) · |observed − predicted|, in [0, 1]. */
  readonly expectedError: number
  readonly bins: readonly ReliabilityBin[]
}

/**
 * Expected calibration error and reliability curve over bins of equal width (Naeini et al. 2015; Guo et al. 2017).
 * Labels may be soft: `observed` is the mean label of a bin. A probability on an edge counts in the upper bin, 1 in
 * the last.
 *
 * @param probabilities [N] predicted preference for the first of each pair, in [0, 1].
 * @param labels [N] what was preferred, in [0, 1].
 * @throws PrefgradError `ERR_ARGUMENT` when empty, `ERR_SHAPE` for two lengths, `ERR_BAD_VALUE` outside [0, 1].
 */
export function calibration(probabilities: ArrayLike<number>, labels: ArrayLike<number>, bins = 10): Calibration {
  requireSome('calibration', probabilities, 'probabilities')
  requireSameLength('calibration', probabilities, labels)
  requireOption('calibration', 'bins', bins, Number.isSafeInteger(bins) && bins > 0, 'Give at least 1.')
  const counts = new Float64Array(bins)
  const predicted = new Float64Array(bins)
  const observed = new Float64Array(bins)
  for (let i = 0; i < probabilities.length; i++) {
    const bin = Math.min(bins - 1, Math.floor(requireShare('calibration', 'probabilities', probabilities, i) * bins))
    counts[bin] += 1
    predicted[bin] += probabilities[i]
    observed[bin] += requireShare('calibration', 'labels', labels, i)
  }
  let expectedError = 0
  for (let bin = 0; bin < bins; bin++) expectedError += Math.abs(observed[bin] - predicted[bin]) / probabilities.length
  return {
    expectedError,
    bins: Array.from(counts, (count, bin) => ({
      low: bin / bins,
      high: (bin + 1) / bins,
      count,
      predicted: predicted[bin] / count,
      observed: observed[bin] / count,
    })),
  }
}

/**
 * How often predicted and labelled preference name the same one of a pair, over the pairs that the labels decide; a
 * prediction of exactly ½ counts one half. `total` is their number; `share` is NaN when it is 0.
 */
export function pairAccuracy(
  probabilities: ArrayLike<number>,
  labels: ArrayLike<number>,
): { share: number; correct: number; total: number } {
  requireSameLength('pairAccuracy', probabilities, labels)
  let correct = 0
  let total = 0
  for (let i = 0; i < labels.length; i++) {
    const side = Math.sign(requireShare('pairAccuracy', 'labels', labels, i) - 0.5)
    if (side === 0) continue
    total += 1
    correct += (1 + side * Math.sign(requireShare('pairAccuracy', 'probabilities', probabilities, i) - 0.5)) / 2
  }
  return { share: correct / total, correct, total }
}

/**
 * distinct-n (Li et al. 2016): different n-grams / n-grams, over all sequences together. It falls with the amount of
 * text, so compare equal amounts. NaN when no sequence has n tokens.
 */
export function distinctNgrams(sequences: readonly ArrayLike<number>[], n: number): number {
  const seen = new Set<string>()
  let total = 0
  for (const sequence of sequences) {
    for (const ngram of ngrams(sequence, n)) {
      seen.add(ngram)
      total += 1
    }
  }
  return seen.size / total
}

/**
 * Share of the n-grams of a sequence that it already contained, averaged over the sequences with at least n tokens:
 * 0 for text that never repeats itself, towards 1 for a loop. NaN when no sequence has n tokens.
 */
export function repetitionRate(sequences: readonly ArrayLike<number>[], n = 3): number {
  const shares: number[] = []
  for (const sequence of sequences) {
    const all = [...ngrams(sequence, n)]
    if (all.length > 0) shares.push(1 - new Set(all).size / all.length)
  }
  return mean(shares)
}

function* ngrams(sequence: ArrayLike<number>, n: number): Generator<string> {
  requireOption('ngrams', 'n', n, Number.isSafeInteger(n) && n > 0, 'Give at least 1.')
  for (let end = n; end <= sequence.length; end++) yield Array.prototype.slice.call(sequence, end - n, end).join(' ')
}

/** Arithmetic mean; NaN for no values. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]
  return sum / values.length
}

/**
 * Quantiles by linear interpolation between order statistics (type 7 of Hyndman and Fan 1996, the default of NumPy):
 * position q · (N − 1) of the sorted values.
 *
 * @throws PrefgradError `ERR_ARGUMENT` for no values, `ERR_OPTION` for a q outside [0, 1].
 */
export function quantiles(values: ArrayLike<number>, shares: readonly number[]): number[] {
  requireSome('quantiles', values, 'values')
  const sorted = Float64Array.from(values).sort()
  return shares.map((q) => {
    requireOption('quantiles', 'shares', q, q >= 0 && q <= 1, 'Give numbers from 0 to 1.')
    const position = q * (sorted.length - 1)
    const below = Math.floor(position)
    const above = Math.ceil(position)
    return sorted[below] + (position - below) * (sorted[above] - sorted[below])
  })
}

/**
 * Pearson's correlation Σ(x−x̄)(y−ȳ) / √(Σ(x−x̄)² Σ(y−ȳ)²); NaN when either does not vary.
 *
 * @throws PrefgradError `ERR_SHAPE` for two lengths.
 */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number {
  requireSameLength('pearson', x, y)
  const [meanX, meanY] = [mean(x), mean(y)]
  let [xy, xx, yy] = [0, 0, 0]
  for (let i = 0; i < x.length; i++) {
    xy += (x[i] - meanX) * (y[i] - meanY)
    xx += (x[i] - meanX) ** 2
    yy += (y[i] - meanY) ** 2
  }
  return xy / Math.sqrt(xx * yy)
}

/** Spearman's rank correlation: {@link pearson} of the ranks, ties sharing their mean rank. */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): number {
  requireSameLength('spearman', x, y)
  return pearson(ranks(x), ranks(y))
}

function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from(values, (_, i) => i).sort((a, b) => values[a] - values[b])
  const result = new Float64Array(values.length)
  for (let start = 0; start < order.length; ) {
    let end = start + 1
    while (end < order.length && values[order[end]] === values[order[start]]) end++
    for (let i = start; i < end; i++) result[order[i]] = (start + end - 1) / 2
    start = end
  }
  return result
}

function requireSameLength(op: string, first: ArrayLike<unknown>, second: ArrayLike<unknown>): void {
  if (first.length === second.length) return
  throw new PrefgradError('ERR_SHAPE', `The two inputs have ${first.length} and ${second.length} entries.`, {
    op,
    fix: 'Give one entry of each for every prompt or pair.',
  })
}

function requireSome(op: string, values: ArrayLike<unknown>, arg: string): void {
  if (values.length > 0) return
  throw new PrefgradError('ERR_ARGUMENT', `${arg} is empty.`, { op, arg, fix: 'Give at least one entry.' })
}

function requireOption(op: string, arg: string, value: number, valid: boolean, fix: string): void {
  if (!valid) throw new PrefgradError('ERR_OPTION', `${arg} is ${value}.`, { op, arg, value, fix })
}

function requireShare(op: string, arg: string, values: ArrayLike<number>, index: number): number {
  const value = values[index]
  if (value >= 0 && value <= 1) return value
  throw new PrefgradError('ERR_BAD_VALUE', `${arg}[${index}] is ${value}.`, {
    op,
    arg,
    index,
    value,
    fix: 'Give numbers from 0 to 1.',
  })
}
