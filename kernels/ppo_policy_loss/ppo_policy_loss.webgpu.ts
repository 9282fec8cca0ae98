import type { CallShape } from '../../lib/spec/schema.ts'
import { tokenLoss, tokenSlots } from '../common/token_loss.webgpu.ts'

const bySequence = ({ options }: CallShape): boolean => options.ratioLevel === 'sequence'

export const ppoPolicyLossPlan = tokenLoss(
  ['common/log_ratio.wgsl'],
  [
    { entry: 'log_ratios', when: bySequence, groups: tokenSlots },
    {
      entry: 'pulls',
      when: (call) => bySequence(call) && call.options.sequenceGradient === 'direct',
      groups: tokenSlots,
    },
  ],
)
