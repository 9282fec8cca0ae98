/** The reference of every op by name. */
import { reference as adamw } from './adamw.ts'
import { reference as bradleyTerryLoss } from './bradley_terry_loss.ts'
import { reference as dpoLoss } from './dpo_loss.ts'
import { reference as gae } from './gae.ts'
import { reference as gradNorm } from './grad_norm.ts'
import { reference as klPenalty } from './kl_penalty.ts'
import { modelReferences } from './model/index.ts'
import { reference as ppoPolicyLoss } from './ppo_policy_loss.ts'
import { reference as ppoValueLoss } from './ppo_value_loss.ts'
import { reference as sequenceLogprobs } from './sequence_logprobs.ts'
import { reference as sequenceLogprobsBackward } from './sequence_logprobs_backward.ts'
import { reference as tokenLogprobs } from './token_logprobs.ts'
import { reference as tokenLogprobsBackward } from './token_logprobs_backward.ts'
import { reference as tokenRewards } from './token_rewards.ts'
import type { Reference } from './types.ts'
import { reference as whiten } from './whiten.ts'

export const references: Record<string, Reference> = {
  tokenLogprobs,
  tokenLogprobsBackward,
  sequenceLogprobs,
  sequenceLogprobsBackward,
  tokenRewards,
  gae,
  whiten,
  ppoPolicyLoss,
  klPenalty,
  ppoValueLoss,
  bradleyTerryLoss,
  dpoLoss,
  gradNorm,
  adamw,
  ...modelReferences,
}
