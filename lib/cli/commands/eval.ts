import { describeCounts, type EncodedPrompt, encodePrompts, readPrompts, readText } from '../../data/index.ts'
import { TransformerPolicy } from '../../model/policy.ts'
import type { RewardSample } from '../../train/ppo.ts'
import { crossPairs, type Estimate, mean, winRate } from '../../train/statistics.ts'
import { type Context, deviceOf } from '../context.ts'
import { digits, percent } from '../format.ts'
import { assertSome, readFiles } from '../inputs.ts'
import { openJudge } from '../judge.ts'
import { complete, negativeLogprob } from '../measure.ts'
import { type ModelFolder, openModelFolder } from '../models.ts'
import { usageError } from '../parse.ts'
import { bytesOf, documentsOf, windowsOf } from '../windows.ts'

interface Contender {
  flag: string
  folder: ModelFolder
  policy: TransformerPolicy
}

/** `prefgrad eval`. */
export const run = async (context: Context<'eval'>): Promise<void> => {
  const { values } = context
  const compares = values.reward !== undefined || values.data.length > 0
  const missing = (['baseline', 'reward', 'data'] as const).find((name) => (values[name]?.length ?? 0) === 0)
  if (compares && missing !== undefined) {
    throw usageError(`--${missing} is missing.`, 'A comparison needs --model, --baseline, --reward and --data.')
  }
  if (!compares && values.text.length === 0) {
    throw usageError('there is nothing to measure.', 'Give --baseline, --reward and --data, or --text FILE....')
  }
  const named = [['--model', values.model], ...(values.baseline === undefined ? [] : [['--baseline', values.baseline]])]
  const folders = await Promise.all(named.map(([flag, directory]) => openModelFolder(flag, directory)))
  const device = await deviceOf(context)
  const contenders = folders.map((folder, i): Contender => {
    return { flag: named[i][0], folder, policy: TransformerPolicy.load(device, folder.directory) }
  })
  if (compares) await compare(context, contenders)
  if (values.text.length > 0) await measureText(context, contenders)
}

const compare = async (context: Context<'eval'>, [model, baseline]: Contender[]): Promise<void> => {
  const { values, reporter } = context
  const judge = await openJudge(model.policy.device, values.reward!, model.folder, baseline.folder)
  const prompts = await readFiles(context, 'prompts', values.data, readPrompts)
  const longest = values.maxLength ?? Math.min(model.folder.config.contextLength, baseline.folder.config.contextLength)
  const maxLength = longest - values.maxNewTokens
  if (maxLength < 1) {
    throw usageError(`--max-new-tokens ${values.maxNewTokens} leaves no room for a prompt in ${longest} tokens.`)
  }
  const encoded = encodePrompts(prompts.records, model.folder.tokenizer, { maxLength, truncate: values.truncate })
  reporter.info('lengths', encoded.counts, describeCounts(encoded.counts))
  assertSome(encoded.prompts, maxLength)
  // The baseline may have a tokenizer of its own; both answer the same prompts.
  const texts = encoded.prompts.map(({ prompt }) => ({ prompt }))
  const own = encodePrompts(texts, baseline.folder.tokenizer, { maxLength: Number.MAX_SAFE_INTEGER }).prompts

  const sides: { sample: RewardSample; score: number }[][][] = []
  for (const [i, [contender, list]] of (
    [
      [model, encoded.prompts],
      [baseline, own],
    ] as const
  ).entries()) {
    const seed = values.seed + i
    const samples = await sample(context, contender, list, seed)
    const scores = await judge.reward(samples.flat())
    sides.push(samples.map((group, p) => group.map((sample, k) => ({ sample, score: scores[p * values.count + k] }))))
  }
  const outcomes = crossPairs(sides[0], sides[1], (a, b) => (Math.sign(a.score - b.score) + 1) / 2)
  const { tiesHalf, withoutTies, tieShare, pairs } = winRate(outcomes, { seed: values.seed })
  const scores = sides.map((side) => mean(side.flat().map(({ score }) => score)))
  reporter.record(
    'win-rate',
    {
      tiesHalf,
      withoutTies,
      tieShare,
      pairs,
      prompts: encoded.prompts.length,
      meanScore: { model: scores[0], baseline: scores[1] },
    },
    [
      `win rate of ${values.model} over ${values.baseline}, ${pairs} pairs on ${encoded.prompts.length} prompts:`,
      `  ties as ½     ${interval(tiesHalf)}`,
      `  without ties  ${interval(withoutTies)}  (${percent(tieShare)} ties)`,
      `  mean score    ${digits(scores[0])} against ${digits(scores[1])}`,
    ].join('\n'),
  )
}

/** `count` completions of each prompt. */
const sample = async (
  context: Context<'eval'>,
  { folder, policy }: Contender,
  prompts: readonly EncodedPrompt[],
  seed: number,
): Promise<RewardSample[][]> => {
  const { values } = context
  const repeated = prompts.flatMap((prompt) => Array.from({ length: values.count }, () => prompt))
  const samples = await complete(context, policy, folder.tokenizer, repeated, { ...values, seed })
  return prompts.map((_, p) => samples.slice(p * values.count, (p + 1) * values.count))
}

const measureText = async (context: Context<'eval'>, contenders: Contender[]): Promise<void> => {
  const { values, reporter } = context
  const { records } = await readFiles(context, 'text', values.text, readText)
  const documents = documentsOf(records)
  for (const { folder, policy } of contenders) {
    const windows = windowsOf(documents, folder.tokenizer, values.maxLength ?? folder.config.contextLength)
    const { nats, tokens } = await negativeLogprob(context, policy, windows)
    const natsPerByte = nats / bytesOf(documents)
    const perplexity = Math.exp(nats / tokens)
    reporter.record(
      'perplexity',
      { model: folder.directory, perplexity, natsPerByte, tokens },
      `${folder.directory}: perplexity ${digits(perplexity)} over ${tokens} tokens, ${digits(natsPerByte)} nats a byte`,
    )
  }
}

const interval = ({ value, low, high }: Estimate): string => `${percent(value)}  [${percent(low)}, ${percent(high)}]`
