import { dpoLoss } from '../../index.ts'
import { TransformerPolicy } from '../../model/policy.ts'
import { forwardFlops, trainingFlops } from '../../train/card.ts'
import { type DpoOptions, dpo } from '../../train/dpo.ts'
import { type Context, deviceOf } from '../context.ts'
import { digits, percent } from '../format.ts'
import { figures, loopOptions, stepsOf } from '../loop_options.ts'
import { implicitAccuracy } from '../measure.ts'
import { openModelFolder } from '../models.ts'
import { readPairs, renderPair } from '../pairs.ts'
import { openReference } from '../reference.ts'
import { checkOut, train } from '../run.ts'

/** `prefgrad dpo`. */
export const run = async (context: Context<'dpo'>): Promise<void> => {
  const { values, reporter } = context
  checkOut(values)
  const settings = lossSettings(values)
  const folder = await openModelFolder('--model', values.model)
  const device = await deviceOf(context)
  const data = await readPairs(context, folder)

  const policy = TransformerPolicy.load(device, values.model)
  const { reference, sources } = await openReference(values.reference, folder, policy)
  const parameters = policy.parameters()
  const { steps, share } = stepsOf(context, data.train.length)
  const tokens = Math.round(data.tokens * values.epochs * share)
  const referenceFlops = forwardFlops(reference.parameters().count, data.tokens)
  await train(context, {
    what: `direct preference optimization (${values.kind})`,
    device,
    files: data.files,
    sources: [folder.source, ...sources],
    tokenizerFile: folder.tokenizerFile,
    parameters,
    example: renderPair(data.train[0], folder.tokenizer, reporter),
    plan: { steps, unit: 'step', tokens, flops: trainingFlops(parameters.count, tokens) + referenceFlops },
    loop: (store) => dpo(policy, reference, data.train, { ...loopOptions(context, store), ...settings }),
    line: (record) => figures(record, { loss: 'loss', accuracy: 'rewards/accuracies', margin: 'rewards/margins' }),
    ...(data.heldOut.length > 0 && {
      evaluate: async () => ({ ...(await implicitAccuracy(context, policy, reference, data.heldOut)) }),
    }),
    describe: ({ accuracy, margin, decided }) =>
      `held-out accuracy of log p / p_reference ${percent(accuracy as number)} of ${decided} pairs with a preference, ` +
      `margin ${digits(margin as number)} nats`,
    flops: (last) => trainingFlops(parameters.count, last.num_tokens as number) + referenceFlops,
    save: (directory) => policy.save(directory),
  })
}

/** The loss's own options, refused now if they contradict each other, not after all data was read. */
const lossSettings = ({
  kind,
  beta,
  labelSmoothing,
  sftCoefficient,
}: Context<'dpo'>['values']): Pick<DpoOptions, 'kind' | 'beta' | 'labelSmoothing' | 'sftCoefficient'> => {
  const settings = { kind, beta, ...(labelSmoothing !== undefined && { labelSmoothing }) }
  const one = () => new Float32Array([1])
  dpoLoss({ policyChosen: one(), policyRejected: one(), chosenLength: one(), rejectedLength: one() }, settings)
  return { ...settings, sftCoefficient }
}
