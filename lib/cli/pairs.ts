/** Preference pairs as the reward and dpo commands read them. */
import {
  agreement,
  describeCounts,
  type EncodedPair,
  encodePairs,
  isUsable,
  mergeAnnotators,
  type PreferencePair,
  readPreferences,
  renderExample,
} from '../data/index.ts'
import type { Tokenizer } from '../model/tokenizer.ts'
import type { Context } from './context.ts'
import { percent, plural } from './format.ts'
import { assertSome, type ReadFile, readSplit } from './inputs.ts'
import type { ModelFolder } from './models.ts'

export interface PairData {
  train: EncodedPair[]
  heldOut: EncodedPair[]
  files: ReadFile[]
  /** Tokens of one pass over the training pairs. */
  tokens: number
}

/** Reads, splits and encodes; says how far annotators agree where there are several. */
export const readPairs = async (context: Context<'reward' | 'dpo'>, folder: ModelFolder): Promise<PairData> => {
  const { values, reporter } = context
  // Verdicts without a preference are read too: they count for the agreement.
  const split = await readSplit(context, (path, options) => readPreferences(path, { ...options, keep: 'all' }))
  reportAgreement(context, [...split.train, ...split.heldOut])
  const usable = (pairs: PreferencePair[]) => (values.mergeAnnotators ? mergeAnnotators(pairs) : pairs.filter(isUsable))
  const length = { maxLength: values.maxLength ?? folder.config.contextLength, truncate: values.truncate }
  const train = encodePairs(usable(split.train), folder.tokenizer, length)
  const heldOut = encodePairs(usable(split.heldOut), folder.tokenizer, length)
  const ties = train.pairs.filter(({ preference }) => preference === 0.5).length
  reporter.info('lengths', { ...train.counts, ties }, `${describeCounts(train.counts)}; ${plural(ties, 'tie')}`)
  assertSome(train.pairs, length.maxLength)
  const { promptTokens, responseTokens } = train.counts
  return { train: train.pairs, heldOut: heldOut.pairs, files: split.files, tokens: promptTokens + responseTokens }
}

const reportAgreement = ({ reporter }: Context<'reward' | 'dpo'>, pairs: readonly PreferencePair[]): void => {
  const found = agreement(pairs)
  if (found.itemsJudgedTwice === 0) return
  const { annotators, items, itemsJudgedTwice, percentAgreement, alpha } = found
  const alphaText = alpha === null ? 'not defined' : alpha.toFixed(2)
  reporter.info(
    'agreement',
    found,
    `${plural(annotators, 'annotator')} on ${plural(items, 'pair')}: of the ${itemsJudgedTwice} with two judges or more, ` +
      `two of them agree on ${percent(percentAgreement ?? Number.NaN)} (Krippendorff’s α ${alphaText})`,
  )
}

/** Both responses of a pair, as the loss sees them. */
export const renderPair = (pair: EncodedPair, tokenizer: Tokenizer, options: { color: boolean }): string =>
  [
    `chosen (preference ${pair.preference}):`,
    renderExample(pair.chosen, tokenizer, options),
    'rejected:',
    renderExample(pair.rejected, tokenizer, options),
  ].join('\n')
