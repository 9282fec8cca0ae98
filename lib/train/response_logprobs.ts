import type { EncodedExample } from '../data/index.ts'
import { packSequences } from '../data/index.ts'
import { tokenLogprobs } from '../index.ts'
import type { Policy } from '../model/policy.ts'
import { microBatches, responseRows } from './rows.ts'

/** Log-probability of every response token of every example, without gradients. */
export const responseLogprobs = (
  policy: Policy,
  examples: readonly EncodedExample[],
  maxTokens = 16384,
): Float32Array[] => {
  const out: Float32Array[] = []
  for (const part of microBatches(examples, ({ tokens }) => tokens.length, maxTokens)) {
    const rows = responseRows(policy.device, packSequences(part))
    const { logits } = policy.forward(rows.batch)
    const { logprob } = tokenLogprobs({ logits, tokens: rows.targets })
    const offsets = rows.offsets.data
    for (let b = 0; b < part.length; b++) out.push(logprob.data.slice(offsets[b], offsets[b + 1]))
  }
  return out
}
