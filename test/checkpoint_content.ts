import type { SafetensorsInput } from '../lib/model/safetensors.ts'

/** What the checkpoint of a step holds in the tests: every part depends on the step, so mixtures show. */
export function contentOf(step: number, elements = 50_000) {
  const tensors: Record<string, SafetensorsInput> = {
    'policy.weight': { dtype: 'F32', shape: [elements], data: new Float32Array(elements).fill(step + 0.5) },
    'adam.step': { dtype: 'I32', shape: [1], data: Int32Array.of(step) },
    flags: { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 0, step % 256) },
  }
  return { step, tensors, state: { position: step * 7, controller: { beta: 0.1 + step, sign: -0 } } }
}
