/** The references of the policy's own ops, by name. */
import type { Reference } from '../types.ts'
import { reference as add } from './add.ts'
import { reference as axpy } from './axpy.ts'
import { reference as cast } from './cast.ts'
import { reference as copy } from './copy.ts'
import { reference as embedding } from './embedding.ts'
import { reference as embeddingBackward } from './embedding_backward.ts'
import { reference as fill } from './fill.ts'
import { reference as gatherRows } from './gather_rows.ts'
import { reference as gatherRowsBackward } from './gather_rows_backward.ts'
import { reference as linear } from './linear.ts'
import { reference as linearBackward } from './linear_backward.ts'
import { reference as poolRows } from './pool_rows.ts'
import { reference as poolRowsBackward } from './pool_rows_backward.ts'
import { reference as rmsNorm } from './rms_norm.ts'
import { reference as rmsNormBackward } from './rms_norm_backward.ts'
import { reference as rotary } from './rotary.ts'
import { reference as rotaryAttention } from './rotary_attention.ts'
import { reference as rotaryAttentionBackward } from './rotary_attention_backward.ts'
import { reference as sampleTokens } from './sample_tokens.ts'
import { reference as scatterRows } from './scatter_rows.ts'
import { reference as swiglu } from './swiglu.ts'
import { reference as swigluBackward } from './swiglu_backward.ts'

export const modelReferences: Record<string, Reference> = {
  embedding,
  embeddingBackward,
  linear,
  linearBackward,
  rmsNorm,
  rmsNormBackward,
  rotary,
  rotaryAttention,
  rotaryAttentionBackward,
  swiglu,
  swigluBackward,
  add,
  axpy,
  fill,
  copy,
  cast,
  gatherRows,
  gatherRowsBackward,
  scatterRows,
  poolRows,
  poolRowsBackward,
  sampleTokens,
}
