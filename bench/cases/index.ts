/** Every case there is, in the order of the report. */
import { gae } from './advantages.ts'
import type { Family } from './family.ts'
import { linear } from './linear.ts'
import { tokenLogprobs, tokenLogprobsBackward } from './logprobs.ts'
import { bradleyTerryLoss, dpoLoss, ppoPolicyLoss, ppoValueLoss } from './losses.ts'
import { modelForward, modelSampling, modelTraining } from './model.ts'
import { adamw, gradNorm } from './optimizer.ts'
import { dpoStepFamily, ppoStepFamily } from './steps.ts'

export type { Family, FamilyCase } from './family.ts'

export const families: readonly Family[] = [
  tokenLogprobs,
  tokenLogprobsBackward,
  gae,
  ppoPolicyLoss,
  ppoValueLoss,
  bradleyTerryLoss,
  dpoLoss,
  gradNorm,
  adamw,
  linear,
  ppoStepFamily,
  dpoStepFamily,
  modelTraining,
  modelForward,
  modelSampling,
]
