import { TransformerPolicy } from '../model/policy.ts'
import type { CardSource } from '../train/card.ts'
import { assertSameTokenizer, type ModelFolder, openModelFolder } from './models.ts'

/** The frozen model that a policy is kept near: that of `--reference`, else a copy of the policy as it starts. */
export const openReference = async (
  directory: string | undefined,
  folder: ModelFolder,
  policy: TransformerPolicy,
): Promise<{ reference: TransformerPolicy; sources: CardSource[] }> => {
  if (directory === undefined) return { reference: policy.clone({ valueHead: false }), sources: [] }
  const other = await openModelFolder('--reference', directory)
  assertSameTokenizer(folder, other)
  return { reference: TransformerPolicy.load(policy.device, directory), sources: [other.source] }
}
