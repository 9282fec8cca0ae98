import { RewardModel, TransformerPolicy } from '../../model/policy.ts'
import { trainingFlops } from '../../train/card.ts'
import { reward } from '../../train/reward.ts'
import { type Context, deviceOf } from '../context.ts'
import { digits, percent } from '../format.ts'
import { figures, loopOptions, stepsOf } from '../loop_options.ts'
import { type RewardQuality, rewardQuality } from '../measure.ts'
import { openModelFolder } from '../models.ts'
import { readPairs, renderPair } from '../pairs.ts'
import { checkOut, train } from '../run.ts'

/** `prefgrad reward`. */
export const run = async (context: Context<'reward'>): Promise<void> => {
  const { values, reporter } = context
  checkOut(values)
  const folder = await openModelFolder('--model', values.model)
  const device = await deviceOf(context)
  const data = await readPairs(context, folder)

  const start = TransformerPolicy.load(device, values.model)
  const model = RewardModel.fromPolicy(start, values.pooling)
  start.dispose()
  const parameters = model.parameters()
  const prompts = new Set(data.train.map(({ chosen }) => chosen.tokens.subarray(0, chosen.promptLength).join()))
  const { steps, share } = stepsOf(context, prompts.size)
  const tokens = Math.round(data.tokens * values.epochs * share)
  const { centerCoefficient, labelSmoothing = 0 } = values
  await train(context, {
    what: 'reward model (Bradley-Terry)',
    device,
    files: data.files,
    sources: [folder.source],
    tokenizerFile: folder.tokenizerFile,
    parameters,
    example: renderPair(data.train[0], folder.tokenizer, reporter),
    plan: { steps, unit: 'step', tokens, flops: trainingFlops(parameters.count, tokens) },
    loop: (store) => reward(model, data.train, { ...loopOptions(context, store), centerCoefficient, labelSmoothing }),
    line: (record) => figures(record, { loss: 'loss', accuracy: 'accuracy', margin: 'margin' }),
    ...(data.heldOut.length > 0 && {
      evaluate: async () => ({ ...(await rewardQuality(context, model, data.heldOut)) }),
    }),
    describe: (quality) => describeQuality(quality as unknown as RewardQuality),
    flops: (last) => trainingFlops(parameters.count, last.num_tokens as number),
    save: (directory) => model.save(directory),
  })
}

const describeQuality = ({ accuracy, decided, pairs, calibrationError, margin, loss }: RewardQuality): string =>
  [
    `held-out accuracy ${percent(accuracy.value)} [${percent(accuracy.low)}, ${percent(accuracy.high)}]`,
    `of ${decided} pairs with a preference (${pairs - decided} ties)`,
    `calibration error ${calibrationError.toFixed(3)}`,
    `margin ${digits(margin)}`,
    `loss ${digits(loss)}`,
  ].join(', ')
