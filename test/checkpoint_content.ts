import type { SafetensorsInput } from '../lib/model/safetensors.ts'

/**
 * What the checkpoint of a step holds in the tests: every part depends on the step, so mixtures show. Each layer is a
 * write of its own, so that a process with many layers is often killed between two of them.
 */
export function contentOf(step: number, elements = 50_000, layers = 1) {
  const tensors: Record<string, SafetensorsInput> = {
    'adam.step': { dtype: 'I32', shape: [1], data: Int32Array.of(step) },
    flags: { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 0, step % 256) },
  }
  for (let layer = 0; layer < layers; layer++) {
    const data = new Float32Array(elements).fill(step + layer / layers)
    tensors[`layer.${layer}`] = { dtype: 'F32', shape: [elements], data }
  }
  return { step, tensors, state: { position: step * 7, controller: { beta: 0.1 + step, sign: -0 } } }
}
