import { type EncodedSft, readText, renderExample } from '../../data/index.ts'
import { PrefgradError } from '../../errors.ts'
import { checkConfig, type ModelConfig } from '../../model/config.ts'
import { readConfig, writeModelFiles } from '../../model/files.ts'
import { TransformerPolicy } from '../../model/policy.ts'
import { Tokenizer, trainTokenizer } from '../../model/tokenizer.ts'
import { Random } from '../../random.ts'
import { makeFolder } from '../../train/atomic.ts'
import { type CardSource, trainingFlops } from '../../train/card.ts'
import { sft } from '../../train/sft.ts'
import { type Context, deviceOf } from '../context.ts'
import { count, digits, plural } from '../format.ts'
import { type ReadFile, readFiles } from '../inputs.ts'
import { figures, loopOptions, stepsOf } from '../loop_options.ts'
import { negativeLogprob } from '../measure.ts'
import { sha256Of } from '../models.ts'
import { checkOut, train } from '../run.ts'
import { bytesOf, type Document, documentsOf, splitDocuments, windowsOf } from '../windows.ts'

/** `prefgrad pretrain`. */
export const run = async (context: Context<'pretrain'>): Promise<void> => {
  const { values, reporter } = context
  checkOut(values)
  const device = await deviceOf(context)
  const { train: documents, heldOut, files } = await readDocuments(context)
  const sources = await Promise.all(
    (['tokenizer', 'config'] as const).flatMap((role) => {
      const path = values[role]
      return path === undefined ? [] : [sha256Of(path).then((sha256): CardSource => ({ role, path, sha256 }))]
    }),
  )
  const tokenizer = values.tokenizer === undefined ? trained(context, documents) : Tokenizer.load(values.tokenizer)
  const examples = windowsOf(documents, tokenizer, values.maxLength)
  const heldOutWindows = heldOut.length === 0 ? [] : windowsOf(heldOut, tokenizer, values.maxLength)
  const tokensPerEpoch = totalTokens(examples)
  reporter.info(
    'windows',
    { windows: examples.length, tokens: tokensPerEpoch, heldOut: heldOutWindows.length },
    `${plural(examples.length, 'window')} of ${values.maxLength} tokens or fewer, ${count(tokensPerEpoch)} in all`,
  )

  const policy = TransformerPolicy.create(device, configOf(values, tokenizer), new Random(values.seed))
  const parameters = policy.parameters()
  const { steps, share } = stepsOf(context, examples.length)
  const tokens = Math.round(tokensPerEpoch * values.epochs * share)
  await train(context, {
    what: 'pretraining',
    device,
    files,
    sources,
    tokenizerFile: Buffer.from(`${JSON.stringify(tokenizer, null, 2)}\n`),
    parameters,
    example: renderExample(examples[0], tokenizer, { color: reporter.color }),
    plan: { steps, unit: 'step', tokens, flops: trainingFlops(parameters.count, tokens) },
    loop: (store) => sft(policy, examples, loopOptions(context, store)),
    line: (record) => figures(record, { loss: 'loss' }),
    ...(heldOutWindows.length > 0 && {
      evaluate: async () => {
        const { nats, tokens } = await negativeLogprob(context, policy, heldOutWindows)
        return { perplexity: Math.exp(nats / tokens), natsPerByte: nats / bytesOf(heldOut), tokens }
      },
    }),
    describe: ({ perplexity, natsPerByte }) =>
      `held-out perplexity ${digits(perplexity as number)}, ${digits(natsPerByte as number)} nats a byte`,
    flops: (last) => trainingFlops(parameters.count, last.num_tokens as number),
    save: async (directory) => {
      makeFolder(directory)
      const dtype = values.dtype === 'bf16' ? 'BF16' : 'F32'
      await writeModelFiles(directory, policy.model.config, parameters, 'causal-lm', undefined, dtype)
    },
  })
}

const totalTokens = (windows: readonly EncodedSft[]): number => windows.reduce((n, { tokens }) => n + tokens.length, 0)

const readDocuments = async (
  context: Context<'pretrain'>,
): Promise<{ train: Document[]; heldOut: Document[]; files: ReadFile[] }> => {
  const { values, reporter } = context
  const training = await readFiles(context, 'training', values.data, readText)
  const documents = documentsOf(training.records)
  if (values.evalData.length > 0) {
    const held = await readFiles(context, 'held-out', values.evalData, readText)
    const heldOut = documentsOf(held.records)
    assertNoCommonDocument(documents, heldOut)
    return { train: documents, heldOut, files: [...training.files, ...held.files] }
  }
  const split = splitDocuments(documents, values.heldOut)
  const counts = { train: split.train.length, heldOut: split.heldOut.length }
  const shown = `${plural(counts.train, 'document')} to train on, ${plural(counts.heldOut, 'document')} held out`
  const advice =
    counts.heldOut === 0 && values.heldOut > 0 ? '; for a perplexity give --eval-data or more documents' : ''
  reporter.info('split', counts, `${shown}${advice}`)
  return { ...split, files: training.files }
}

const assertNoCommonDocument = (train: readonly Document[], heldOut: readonly Document[]): void => {
  const known = new Set(train.map((document) => document.join('')))
  const index = heldOut.findIndex((document) => known.has(document.join('')))
  if (index < 0) return
  throw new PrefgradError('ERR_DATA', `held-out document ${index + 1} is also in the training data.`, {
    arg: '--eval-data',
    index: index + 1,
    fix: 'Remove it from one of the two.',
  })
}

const trained = ({ values, reporter }: Context<'pretrain'>, documents: readonly Document[]): Tokenizer => {
  reporter.note(`training a tokenizer of ${values.vocabularySize} tokens`)
  return trainTokenizer(documents.flat(), { vocabularySize: values.vocabularySize })
}

/** The sizes of the fresh model: of `--config`, else of the flags; the vocabulary is the tokenizer's. */
const configOf = (values: Context<'pretrain'>['values'], tokenizer: Tokenizer): ModelConfig => {
  const { width, layers, heads, keyValueHeads, hidden, maxLength } = values
  if (values.config === undefined) {
    return checkConfig({
      vocabularySize: tokenizer.vocabularySize,
      width,
      layers,
      heads,
      ...(keyValueHeads !== undefined && { keyValueHeads }),
      ...(hidden !== undefined && { hidden }),
      contextLength: maxLength,
    })
  }
  const { config } = readConfig(values.config)
  if (config.vocabularySize < tokenizer.vocabularySize) {
    const sizes = `vocab_size ${config.vocabularySize}, and the tokenizer has ${tokenizer.vocabularySize} tokens`
    throw new PrefgradError('ERR_CONFIG', `${values.config} has ${sizes}.`, {
      arg: '--config',
      fix: 'Raise vocab_size, or give a smaller --tokenizer or --vocabulary-size.',
    })
  }
  return config
}
