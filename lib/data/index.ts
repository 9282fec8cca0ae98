/**
 * Preference data: strict streaming readers, encoding with the loss on the response only, packing, splitting by prompt,
 * and what annotators agree on.
 *
 * ```ts
 * const { examples, report } = await readPreferences('pairs.jsonl.gz').load()
 * const { train, heldOut } = splitByPrompt(examples, { heldOut: 0.05 })
 * const { pairs, counts } = encodePairs(train, tokenizer, { maxLength: 512, truncate: 'prompt-left' })
 * for (const batch of new Batches(pairs, { batchSize: 32, seed: 1 })) step(packPairs(batch))
 * ```
 *
 * @module
 */
export type { Agreement } from './agreement.ts'
export { agreement, krippendorffAlpha, mergeAnnotators } from './agreement.ts'
export type { BatchOptions, DataPosition } from './batches.ts'
export { Batches } from './batches.ts'
export type {
  EncodedExample,
  EncodedPair,
  EncodedPrompt,
  EncodedSft,
  EncodeOptions,
  LengthCounts,
  Truncation,
} from './encode.ts'
export { describeCounts, encodePairs, encodePrompts, encodeSft } from './encode.ts'
export type { PackedPairs, PackedSequences, PackedSft } from './pack.ts'
export { IGNORED_TARGET, packPairs, packSequences, packSft } from './pack.ts'
export type { BadLine, FileReport, ReadOptions, RecordReader } from './reader.ts'
export { describeReport } from './reader.ts'
export type { PreferenceOptions, RecordOptions } from './records.ts'
export { formatPreference, isUsable, readPreferences, readPrompts, readSft } from './records.ts'
export type { RenderOptions } from './render.ts'
export { renderExample } from './render.ts'
export type { Prompted, SplitOptions } from './split.ts'
export { assertDisjoint, hashFraction, splitByPrompt } from './split.ts'
export type { ChatTemplate } from './template.ts'
export { dialogueTemplate } from './template.ts'
export type { TextOptions } from './text.ts'
export { readText } from './text.ts'
export type {
  Message,
  PreferencePair,
  PromptExample,
  Role,
  SftExample,
  TextPiece,
  Tokenizer,
  Verdict,
} from './types.ts'
