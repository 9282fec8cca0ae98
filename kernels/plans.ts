/** The WGSL plans of all ops, by op. */
import type { WebgpuOp } from '../lib/backends/webgpu/plan.ts'
import { adamwPlan } from './adamw/adamw.webgpu.ts'
import { addPlan } from './add/add.webgpu.ts'
import { axpyPlan } from './axpy/axpy.webgpu.ts'
import { bradleyTerryLossPlan } from './bradley_terry_loss/bradley_terry_loss.webgpu.ts'
import { castPlan } from './cast/cast.webgpu.ts'
import { copyPlan } from './copy/copy.webgpu.ts'
import { dpoLossPlan } from './dpo_loss/dpo_loss.webgpu.ts'
import { embeddingBackwardPlan, embeddingPlan } from './embedding/embedding.webgpu.ts'
import { fillPlan } from './fill/fill.webgpu.ts'
import { gaePlan } from './gae/gae.webgpu.ts'
import { gatherRowsBackwardPlan, gatherRowsPlan } from './gather_rows/gather_rows.webgpu.ts'
import { gradNormPlan } from './grad_norm/grad_norm.webgpu.ts'
import { klPenaltyPlan } from './kl_penalty/kl_penalty.webgpu.ts'
import { linearBackwardPlan, linearPlan } from './linear/linear.webgpu.ts'
import { poolRowsBackwardPlan, poolRowsPlan } from './pool_rows/pool_rows.webgpu.ts'
import { ppoPolicyLossPlan } from './ppo_policy_loss/ppo_policy_loss.webgpu.ts'
import { ppoValueLossPlan } from './ppo_value_loss/ppo_value_loss.webgpu.ts'
import { rmsNormBackwardPlan, rmsNormPlan } from './rms_norm/rms_norm.webgpu.ts'
import { rotaryPlan } from './rotary/rotary.webgpu.ts'
import { rotaryAttentionBackwardPlan, rotaryAttentionPlan } from './rotary_attention/rotary_attention.webgpu.ts'
import { sampleTokensPlan } from './sample_tokens/sample_tokens.webgpu.ts'
import { scatterRowsPlan } from './scatter_rows/scatter_rows.webgpu.ts'
import { sequenceLogprobsBackwardPlan, sequenceLogprobsPlan } from './sequence_logprobs/sequence_logprobs.webgpu.ts'
import { swigluBackwardPlan, swigluPlan } from './swiglu/swiglu.webgpu.ts'
import { tokenLogprobsBackwardPlan, tokenLogprobsPlan } from './token_logprobs/token_logprobs.webgpu.ts'
import { tokenRewardsPlan } from './token_rewards/token_rewards.webgpu.ts'
import { whitenPlan } from './whiten/whiten.webgpu.ts'

export const plans: Readonly<Record<string, WebgpuOp>> = {
  adamw: adamwPlan,
  add: addPlan,
  axpy: axpyPlan,
  bradleyTerryLoss: bradleyTerryLossPlan,
  cast: castPlan,
  copy: copyPlan,
  dpoLoss: dpoLossPlan,
  embedding: embeddingPlan,
  embeddingBackward: embeddingBackwardPlan,
  fill: fillPlan,
  gae: gaePlan,
  gatherRows: gatherRowsPlan,
  gatherRowsBackward: gatherRowsBackwardPlan,
  gradNorm: gradNormPlan,
  klPenalty: klPenaltyPlan,
  linear: linearPlan,
  linearBackward: linearBackwardPlan,
  poolRows: poolRowsPlan,
  poolRowsBackward: poolRowsBackwardPlan,
  ppoPolicyLoss: ppoPolicyLossPlan,
  ppoValueLoss: ppoValueLossPlan,
  rmsNorm: rmsNormPlan,
  rmsNormBackward: rmsNormBackwardPlan,
  rotary: rotaryPlan,
  rotaryAttention: rotaryAttentionPlan,
  rotaryAttentionBackward: rotaryAttentionBackwardPlan,
  sampleTokens: sampleTokensPlan,
  scatterRows: scatterRowsPlan,
  sequenceLogprobs: sequenceLogprobsPlan,
  sequenceLogprobsBackward: sequenceLogprobsBackwardPlan,
  swiglu: swigluPlan,
  swigluBackward: swigluBackwardPlan,
  tokenLogprobs: tokenLogprobsPlan,
  tokenLogprobsBackward: tokenLogprobsBackwardPlan,
  tokenRewards: tokenRewardsPlan,
  whiten: whitenPlan,
}
