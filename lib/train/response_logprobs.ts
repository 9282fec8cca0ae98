import type { EncodedExample } from '../data/index.ts'
import { packSequences } from '../data/index.ts'
import { tokenLogprobs } from '../index.ts'
import type { Policy } from '../model/policy.ts'
import { scoped } from '../scope.ts'
import { microBatches, responseRows } from './rows.ts'

/** Log-probability of every response token of every example, without gradients. */
export const responseLogprobs = async (
  policy: Policy,
  examples: readonly EncodedExample[],
  maxTokens = 16384,
): Promise<Float32Array[]> => {
  const out: Float32Array[] = []
  for (const part of microBatches(examples, ({ tokens }) => tokens.length, maxTokens)) {
    await scoped(policy.device, async (scope) => {
      const { batch, targets, starts } = responseRows(scope, packSequences(part))
      const { logits } = policy.forward(batch)
      const { logprob } = scope.own(tokenLogprobs({ logits, tokens: targets }))
      const [values] = await scope.device.read([logprob])
      for (let b = 0; b < part.length; b++) out.push(values.slice(starts[b], starts[b + 1]))
    })
  }
  return out
}
