import { describeCounts, encodeSft, readSft, renderExample } from '../../data/index.ts'
import { TransformerPolicy } from '../../model/policy.ts'
import { trainingFlops } from '../../train/card.ts'
import { sft } from '../../train/sft.ts'
import { type Context, deviceOf } from '../context.ts'
import { digits } from '../format.ts'
import { assertSome, readSplit } from '../inputs.ts'
import { figures, loopOptions, stepsOf } from '../loop_options.ts'
import { negativeLogprob } from '../measure.ts'
import { openModelFolder } from '../models.ts'
import { checkOut, train } from '../run.ts'

/** `prefgrad sft`. */
export const run = async (context: Context<'sft'>): Promise<void> => {
  const { values, reporter } = context
  checkOut(values)
  const folder = await openModelFolder('--model', values.model)
  const device = await deviceOf(context)
  const split = await readSplit(context, readSft)
  const length = { maxLength: values.maxLength ?? folder.config.contextLength, truncate: values.truncate }
  const training = encodeSft(split.train, folder.tokenizer, length)
  const heldOut = encodeSft(split.heldOut, folder.tokenizer, length)
  reporter.info('lengths', training.counts, describeCounts(training.counts))
  assertSome(training.examples, length.maxLength)

  const policy = TransformerPolicy.load(device, values.model)
  const { steps, share } = stepsOf(context, training.examples.length)
  const { promptTokens, responseTokens } = training.counts
  const tokens = Math.round((promptTokens + responseTokens) * values.epochs * share)
  const parameters = policy.parameters()
  await train(context, {
    what: 'supervised fine-tuning',
    device,
    files: split.files,
    sources: [folder.source],
    tokenizerFile: folder.tokenizerFile,
    parameters,
    example: renderExample(training.examples[0], folder.tokenizer, { color: reporter.color }),
    plan: { steps, unit: 'step', tokens, flops: trainingFlops(parameters.count, tokens) },
    loop: (store) => sft(policy, training.examples, loopOptions(context, store)),
    line: (record) => figures(record, { loss: 'loss' }),
    ...(heldOut.examples.length > 0 && {
      evaluate: async () => {
        const { nats, tokens } = await negativeLogprob(context, policy, heldOut.examples)
        return { loss: nats / tokens, perplexity: Math.exp(nats / tokens), tokens }
      },
    }),
    describe: ({ loss, tokens }) =>
      `held-out loss ${digits(loss as number)} nats a token, over ${tokens} response tokens`,
    flops: (last) => trainingFlops(parameters.count, last.num_tokens as number),
    save: (directory) => policy.save(directory),
  })
}
