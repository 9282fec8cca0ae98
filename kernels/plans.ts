/** The WGSL plans of all ops, by op. */
import type { WebgpuOp } from '../lib/backends/webgpu/plan.ts'
import { addPlan } from './add/add.webgpu.ts'
import { axpyPlan } from './axpy/axpy.webgpu.ts'
import { castPlan } from './cast/cast.webgpu.ts'
import { copyPlan } from './copy/copy.webgpu.ts'
import { embeddingBackwardPlan, embeddingPlan } from './embedding/embedding.webgpu.ts'
import { fillPlan } from './fill/fill.webgpu.ts'
import { gatherRowsBackwardPlan, gatherRowsPlan } from './gather_rows/gather_rows.webgpu.ts'
import { linearBackwardPlan, linearPlan } from './linear/linear.webgpu.ts'
import { rmsNormBackwardPlan, rmsNormPlan } from './rms_norm/rms_norm.webgpu.ts'
import { rotaryPlan } from './rotary/rotary.webgpu.ts'
import { scatterRowsPlan } from './scatter_rows/scatter_rows.webgpu.ts'
import { swigluBackwardPlan, swigluPlan } from './swiglu/swiglu.webgpu.ts'
import { tokenLogprobsBackwardPlan, tokenLogprobsPlan } from './token_logprobs/token_logprobs.webgpu.ts'

export const plans: Readonly<Record<string, WebgpuOp>> = {
  add: addPlan,
  axpy: axpyPlan,
  cast: castPlan,
  copy: copyPlan,
  embedding: embeddingPlan,
  embeddingBackward: embeddingBackwardPlan,
  fill: fillPlan,
  gatherRows: gatherRowsPlan,
  gatherRowsBackward: gatherRowsBackwardPlan,
  linear: linearPlan,
  linearBackward: linearBackwardPlan,
  rmsNorm: rmsNormPlan,
  rmsNormBackward: rmsNormBackwardPlan,
  rotary: rotaryPlan,
  scatterRows: scatterRowsPlan,
  swiglu: swigluPlan,
  swigluBackward: swigluBackwardPlan,
  tokenLogprobs: tokenLogprobsPlan,
  tokenLogprobsBackward: tokenLogprobsBackwardPlan,
}
