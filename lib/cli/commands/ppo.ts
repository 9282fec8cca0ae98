import {
  assertDisjoint,
  describeCounts,
  type EncodedPrompt,
  type EncodedSft,
  encodePrompts,
  encodeSft,
  type PromptExample,
  readPrompts,
  readSft,
  renderExample,
} from '../../data/index.ts'
import { TransformerPolicy } from '../../model/policy.ts'
import { forwardFlops, trainingFlops } from '../../train/card.ts'
import { type PpoOptions, type PpoRecord, ppo } from '../../train/ppo.ts'
import { mean } from '../../train/statistics.ts'
import type { SnapshotStore } from '../../train/store.ts'
import { type Context, deviceOf } from '../context.ts'
import { digits, plural } from '../format.ts'
import { assertSome, type ReadFile, readFiles } from '../inputs.ts'
import { openJudge } from '../judge.ts'
import { complete } from '../measure.ts'
import { type ModelFolder, openModelFolder } from '../models.ts'
import { usageError } from '../parse.ts'
import { openReference } from '../reference.ts'
import { checkOut, train } from '../run.ts'

/** Where a measurement's random numbers begin: apart from those of the rollouts. */
const HELD_OUT_SEED = 1_000_003

/** `prefgrad ppo`. */
export const run = async (context: Context<'ppo'>): Promise<void> => {
  const { values, reporter } = context
  checkOut(values)
  if (values.ptxCoefficient > 0 !== values.ptxData.length > 0) {
    throw usageError('--ptx-data and --ptx-coefficient go together.', 'Give both or none.')
  }
  const folder = await openModelFolder('--model', values.model)
  const device = await deviceOf(context)
  const data = await readData(context, folder)

  const policy = TransformerPolicy.load(device, values.model, { valueHead: true })
  const { reference, sources } = await openReference(values.reference, folder, policy)
  const judge = await openJudge(device, values.reward, folder)
  const parameters = policy.parameters()
  const promptLength = mean(data.prompts.map(({ tokens }) => tokens.length))
  /** Rollouts, their log-probabilities, reference and reward, then the epochs; PTX texts count as long as rollouts. */
  const flopsOf = (rounds: number, responseLength: number): number => {
    const tokens = rounds * values.rollouts * (promptLength + responseLength)
    const trained = values.epochs * tokens * (values.ptxCoefficient > 0 ? 2 : 1)
    const forwards = 2 * parameters.count + reference.parameters().count + judge.parameters
    return forwardFlops(forwards, tokens) + trainingFlops(parameters.count, trained)
  }
  // Shown beside the bars of the round that is on its way.
  let latest = ''
  await train(context, {
    what: 'proximal policy optimization',
    device,
    files: data.files,
    sources: [folder.source, ...sources, judge.source],
    tokenizerFile: folder.tokenizerFile,
    parameters,
    example: renderExample(
      { ...data.prompts[0], promptLength: data.prompts[0].tokens.length },
      folder.tokenizer,
      reporter,
    )
      .split('\n')
      .slice(0, 2)
      .join('\n'),
    plan: {
      steps: values.iterations,
      unit: 'round',
      tokens: Math.round(values.iterations * values.rollouts * (promptLength + values.maxNewTokens)),
      flops: flopsOf(values.iterations, values.maxNewTokens),
    },
    loop: (store) =>
      ppo(policy, reference, judge.reward, data.prompts, {
        ...ppoOptions(context, folder, data.ptx, store),
        onProgress: (stage, done, total) => reporter.progress(stage, done, total, latest),
      }),
    line: (record) => {
      const text = describeRound(record)
      latest = `after round ${record.step}/${values.iterations}: ${text}`
      return text
    },
    ...(data.heldOut.length > 0 && {
      evaluate: async () => {
        const sampling = { ...values, seed: values.seed + HELD_OUT_SEED }
        const samples = await complete(context, policy, folder.tokenizer, data.heldOut, sampling)
        return { score: mean(await judge.reward(samples)), prompts: samples.length }
      },
    }),
    describe: ({ score, prompts }) =>
      `mean score ${digits(score as number)} on ${plural(prompts as number, 'held-out prompt')}`,
    flops: (last) => flopsOf(last.step as number, last['val/response_length'] as number),
    save: (directory) => policy.save(directory),
  })
}

const readData = async (
  context: Context<'ppo'>,
  folder: ModelFolder,
): Promise<{ prompts: EncodedPrompt[]; heldOut: EncodedPrompt[]; ptx: EncodedSft[]; files: ReadFile[] }> => {
  const { values, reporter } = context
  const { truncate, maxNewTokens } = values
  const longest = values.maxLength ?? folder.config.contextLength
  if (maxNewTokens >= longest) {
    throw usageError(`--max-new-tokens ${maxNewTokens} leaves no room for a prompt in ${longest} tokens.`, 'Lower it.')
  }
  const maxLength = longest - maxNewTokens
  const prompts = await readFiles(context, 'prompts', values.data, readPrompts)
  const heldOut = await readFiles(context, 'held-out prompts', values.evalData, readPrompts)
  const ptx = await readFiles(context, 'ptx', values.ptxData, readSft)
  assertDisjoint(prompts.records, heldOut.records)
  const encode = (records: PromptExample[]) => encodePrompts(records, folder.tokenizer, { maxLength, truncate })
  const encoded = encode(prompts.records)
  reporter.info('lengths', encoded.counts, describeCounts(encoded.counts))
  assertSome(encoded.prompts, maxLength)
  return {
    prompts: encoded.prompts,
    heldOut: encode(heldOut.records).prompts,
    ptx: encodeSft(ptx.records, folder.tokenizer, { maxLength: longest, truncate }).examples,
    files: [...prompts.files, ...heldOut.files, ...ptx.files],
  }
}

const ppoOptions = (
  { values, signal }: Context<'ppo'>,
  { tokenizer }: ModelFolder,
  pretrain: readonly EncodedSft[],
  store: SnapshotStore,
): PpoOptions => {
  const { iterations, rollouts, maxNewTokens, temperature, epochs, minibatches, lr, warmupRatio, seed, saveEvery } =
    values
  const { klCoefficient, klTarget, klFloor, klHorizon, stopKl, stopAtKlTarget, missingEndPenalty } = values
  const { gamma, lambda, clipLow, clipHigh, valueClip, valueCoefficient, ptxCoefficient } = values
  const { weightDecay, maxNorm, maxTokens } = values
  return {
    ...{ iterations, rollouts, maxNewTokens, temperature, epochs, minibatches, lr, warmupRatio, seed, saveEvery },
    ...{ klCoefficient, klTarget, klFloor, klHorizon, stopKl, stopAtKlTarget, missingEndPenalty },
    ...{ gamma, lambda, clipLow, clipHigh, valueClip, valueCoefficient, ptxCoefficient, pretrain },
    ...{ weightDecay, maxNorm, maxTokens, signal, store },
    normalizeScores: !values.rawScores,
    endOfText: tokenizer.endOfText,
    decode: (ids) => tokenizer.decode(ids),
  }
}

const describeRound = (record: PpoRecord): string => {
  const shown = [
    `score ${digits(record['objective/scores'])}`,
    `KL ${digits(record['objective/kl'])}`,
    `β ${digits(record.kl_coef)}`,
    `entropy ${digits(record['policy/entropy_avg'])}`,
    `length ${digits(record['val/response_length'])}`,
  ]
  if (record.stopped_early === 1) shown.push('stopped early')
  if (record.refused_steps > 0) shown.push(`${record.refused_steps} steps refused: the gradient was not finite`)
  return shown.join('  ')
}
