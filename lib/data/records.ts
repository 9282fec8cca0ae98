import type { JsonObject } from './fields.ts'
import { checkMessages, checkText, field, LineError, missing, optionalNumber, parseObject, show } from './fields.ts'
import { checkChoice } from './options.ts'
import type { ReadOptions, RecordParser } from './reader.ts'
import { RecordReader } from './reader.ts'
import type { ChatTemplate } from './template.ts'
import { beginsWith, dialogueTemplate, onlyAnswer, splitConversations, splitDialogues } from './template.ts'
import type { Message, PreferencePair, PromptExample, SftExample, Verdict } from './types.ts'

/** How a file of records is read. */
export interface RecordOptions extends ReadOptions {
  /** How message lists become text. Default {@link dialogueTemplate}. */
  template?: ChatTemplate
}

export interface PreferenceOptions extends RecordOptions {
  /**
   * `'usable'` (default) leaves out pairs with the verdict `both-bad` or `skip`; `'all'` delivers them too, for
   * statistics.
   */
  keep?: 'usable' | 'all'
}

const VERDICTS: readonly unknown[] = ['tie', 'both-bad', 'skip'] satisfies Verdict[]

/**
 * Reads preference pairs from JSONL (plain or gzip), one object a line, in any of these forms:
 * - `{ prompt, chosen, rejected }`: strings, taken as they are;
 * - `{ chosen, rejected }`: dialogues in the `\n\nHuman: … \n\nAssistant: …` form, split by {@link splitDialogues};
 * - `{ prompt, chosen, rejected }`: message lists; the responses one assistant message each, with or without the prompt
 *   repeated in front; or without `prompt` two whole conversations, split where they part. A `prompt` string beside
 *   two conversations must be one of the messages that they share.
 *
 * Optional: `preference` in [0, 1] (or a verdict), `verdict` (`tie | both-bad | skip`), `margin`, `weight` (0 or more),
 * `annotator`. Null means absent. A tie is delivered with `preference` ½. Other fields are ignored. Blank lines, CRLF
 * endings and a byte order mark at the start are fine. Equal responses are a bad line unless they are called a tie or
 * not judged.
 *
 * @throws PrefgradError while it is read: see {@link RecordReader.load}.
 */
export function readPreferences(path: string, options: PreferenceOptions = {}): RecordReader<PreferencePair> {
  const { template = dialogueTemplate, keep = 'usable' } = options
  checkChoice('keep', keep, ['usable', 'all'])
  const parse = (record: JsonObject) => {
    const pair = parsePreference(record, template)
    return keep === 'usable' && !isUsable(pair) ? null : pair
  }
  return new RecordReader(path, () => jsonLines(parse), options)
}

/**
 * Reads texts to imitate from JSONL (plain or gzip): `{ prompt, completion }` as strings or message lists, `{ messages
 * }` ending with the assistant message to learn (earlier ones belong to the prompt), `{ text }` (no prompt: all of it
 * is learnt), or a preference file, whose preferred responses are learnt (of a tie, `chosen`). Optional: `weight`.
 *
 * @throws PrefgradError while it is read: see {@link RecordReader.load}.
 */
export function readSft(path: string, options: RecordOptions = {}): RecordReader<SftExample> {
  const { template = dialogueTemplate } = options
  return new RecordReader(path, () => jsonLines((record) => parseSft(record, template)), options)
}

/**
 * Reads prompts from JSONL (plain or gzip): `{ prompt }` as a string or a message list, whatever else the line holds;
 * or the dialogues of a preference file.
 *
 * @throws PrefgradError while it is read: see {@link RecordReader.load}.
 */
export function readPrompts(path: string, options: RecordOptions = {}): RecordReader<PromptExample> {
  const { template = dialogueTemplate } = options
  return new RecordReader(path, () => jsonLines((record) => parsePrompt(record, template)), options)
}

/** A pair as one line of JSONL (without the newline) that {@link readPreferences} reads back as the same pair. */
export function formatPreference(pair: PreferencePair): string {
  const { prompt, chosen, rejected, preference, verdict, margin, weight, annotator } = pair
  return JSON.stringify({ prompt, chosen, rejected, preference, verdict, margin, weight, annotator })
}

/** False for pairs whose verdict says that they hold no preference. */
export function isUsable(pair: PreferencePair): boolean {
  return pair.verdict !== 'both-bad' && pair.verdict !== 'skip'
}

function jsonLines<T extends object>(parse: (record: JsonObject) => T | null): RecordParser<T> {
  return {
    skipsBlankLines: true,
    line(text, number, terminated) {
      const record = terminated ? parseObject(text) : parseLastLine(text)
      const parsed = parse(record)
      return parsed === null ? null : { ...parsed, line: number }
    },
    end: () => undefined,
  }
}

function parseLastLine(text: string): JsonObject {
  try {
    return parseObject(text)
  } catch (error) {
    throw new LineError(`${(error as Error).message}; it is the last line and has no newline: is the file cut off?`)
  }
}

function parsePreference(record: JsonObject, template: ChatTemplate): PreferencePair {
  const pair: PreferencePair = { ...pairTexts(record, template), ...judgement(record) }
  const margin = optionalNumber(record, 'margin')
  if (margin !== undefined) pair.margin = margin
  const weight = optionalNumber(record, 'weight', 0)
  if (weight !== undefined) pair.weight = weight
  const annotator = field(record, 'annotator')
  // Many files number their annotators.
  if (annotator !== undefined) pair.annotator = checkText(numberAsText(annotator), 'annotator')
  if (pair.chosen === pair.rejected && isUsable(pair) && pair.preference !== 0.5) {
    throw new LineError('`chosen` and `rejected` are the same text')
  }
  return pair
}

function pairTexts(record: JsonObject, template: ChatTemplate): { prompt: string; chosen: string; rejected: string } {
  const [prompt, chosen, rejected] = ['prompt', 'chosen', 'rejected'].map((name) => field(record, name))
  if (chosen === undefined) throw missing(record, '`chosen`')
  if (rejected === undefined) throw missing(record, '`rejected`')
  if (Array.isArray(chosen) || Array.isArray(rejected)) {
    const split = splitMessages(prompt, checkMessages(chosen, 'chosen'), checkMessages(rejected, 'rejected'))
    return {
      prompt: promptText(split.prompt, template),
      chosen: template.response(split.chosen),
      rejected: template.response(split.rejected),
    }
  }
  const texts = { chosen: checkText(chosen, 'chosen'), rejected: checkText(rejected, 'rejected') }
  return prompt === undefined
    ? splitDialogues(texts.chosen, texts.rejected)
    : { prompt: checkText(prompt, 'prompt'), ...texts }
}

function splitMessages(prompt: unknown, chosen: Message[], rejected: Message[]) {
  if (!Array.isArray(prompt)) {
    const split = splitConversations(chosen, rejected)
    if (prompt === undefined || split.prompt.some(({ content }) => content === prompt)) return split
    throw new LineError(`\`prompt\` is ${show(prompt)}, which is no message that \`chosen\` and \`rejected\` share`)
  }
  const start = checkMessages(prompt, 'prompt')
  const answer = (side: Message[], name: string) =>
    onlyAnswer(beginsWith(side, start) ? side.slice(start.length) : side, `\`${name}\`, after the prompt,`)
  return { prompt: start, chosen: answer(chosen, 'chosen'), rejected: answer(rejected, 'rejected') }
}

function promptText(messages: readonly Message[], template: ChatTemplate): string {
  if (messages.at(-1)?.role === 'assistant') {
    throw new LineError('the prompt ends with an assistant message, so there is nothing to answer')
  }
  return template.prompt(messages)
}

function judgement(record: JsonObject): { preference?: number; verdict?: Verdict } {
  const given = field(record, 'preference')
  const inPreference = VERDICTS.includes(given)
  const verdict = inPreference ? given : field(record, 'verdict')
  const preference = inPreference ? undefined : optionalNumber(record, 'preference', 0, 1)
  if (verdict === undefined) return preference === undefined ? {} : { preference }
  if (!VERDICTS.includes(verdict)) {
    throw new LineError(`\`verdict\` must be one of ${VERDICTS.join(', ')}, but is ${show(verdict)}`)
  }
  if (preference !== undefined && !(verdict === 'tie' && preference === 0.5)) {
    throw new LineError(`\`preference\` ${preference} and the verdict ${show(verdict)} contradict each other`)
  }
  return verdict === 'tie' ? { preference: 0.5, verdict } : { verdict: verdict as Verdict }
}

function parseSft(record: JsonObject, template: ChatTemplate): SftExample | null {
  const example = sftTexts(record, template)
  if (example === null) return null
  if (example.completion === '') throw new LineError('there is no text to learn: it is empty')
  const weight = optionalNumber(record, 'weight', 0)
  return weight === undefined ? example : { ...example, weight }
}

function sftTexts(record: JsonObject, template: ChatTemplate): SftExample | null {
  const completion = field(record, 'completion')
  if (completion !== undefined) {
    const prompt = field(record, 'prompt')
    if (prompt === undefined) throw missing(record, '`prompt`')
    if (!Array.isArray(prompt) && !Array.isArray(completion)) {
      return { prompt: checkText(prompt, 'prompt'), completion: checkText(completion, 'completion') }
    }
    const answer = onlyAnswer(checkMessages(completion, 'completion'), '`completion`')
    return {
      prompt: promptText(checkMessages(prompt, 'prompt'), template),
      completion: template.response(answer),
    }
  }
  if (field(record, 'messages') !== undefined) {
    const messages = checkMessages(field(record, 'messages'), 'messages')
    const answer = onlyAnswer(messages.slice(-1), 'the last of `messages`')
    return { prompt: promptText(messages.slice(0, -1), template), completion: template.response(answer) }
  }
  if (field(record, 'text') !== undefined) return { prompt: '', completion: checkText(field(record, 'text'), 'text') }
  if (field(record, 'chosen') !== undefined) {
    const pair = parsePreference(record, template)
    if (!isUsable(pair)) return null
    return { prompt: pair.prompt, completion: (pair.preference ?? 1) >= 0.5 ? pair.chosen : pair.rejected }
  }
  throw missing(record, '`prompt` and `completion` (or `messages`, or `text`)')
}

function parsePrompt(record: JsonObject, template: ChatTemplate): PromptExample {
  const prompt = field(record, 'prompt')
  if (Array.isArray(prompt)) return { prompt: promptText(checkMessages(prompt, 'prompt'), template) }
  if (prompt === undefined || Array.isArray(field(record, 'chosen'))) {
    if (field(record, 'chosen') === undefined) throw missing(record, '`prompt`')
    return { prompt: pairTexts(record, template).prompt }
  }
  return { prompt: checkText(prompt, 'prompt') }
}

function numberAsText(value: unknown): unknown {
  return typeof value === 'number' ? String(value) : value
}
