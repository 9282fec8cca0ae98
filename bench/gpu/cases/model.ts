/** What the built-in policy spends its time on: products in true f32, and attention. */
import type { Device } from '../../../lib/device.ts'
import { spread, traffic } from '../../cases/family.ts'
import { normalInput } from '../data.ts'
import type { PeerMode, Planned, Work } from '../types.ts'

/** Rows, terms, columns: a square that fills any GPU, then the demo's, a larger policy's, and a head. */
const PRODUCTS: readonly (readonly [M: number, K: number, O: number])[] = [
  [4096, 4096, 4096],
  [4096, 128, 2048],
  [1024, 128, 704],
  [4096, 352, 128],
  [8192, 1024, 4096],
  [2048, 2048, 32000],
]

/** Tensor cores round what they multiply: to 11 bits, or to 8. */
const FAST_TOLERANCE = 2e-2

const linear = (cpu: Device, M: number, K: number, O: number, fast: boolean): Work => {
  const inputs = {
    x: normalInput(cpu, [M, K], { seed: 1 }),
    weight: normalInput(cpu, [O, K], { seed: 2, deviation: 1 / Math.sqrt(K) }),
  }
  return {
    op: 'linear',
    shape: `${M}x${K}x${O}`,
    dtype: 'f32',
    inputs,
    options: {},
    bytes: traffic('linear', { N: M, I: K, O }, inputs),
    flops: 2 * M * K * O,
    ceiling: 'multiplyF32',
    judged: ['y'],
    sampled: { letters: ['N'], rows: spread(4, M) },
    tolerance: fast ? FAST_TOLERANCE : 1e-4,
    peers: fast ? ['eager', 'tf32'] : ['eager'],
    goals: [],
  }
}

/** Sequences, tokens, heads, key heads, head size: the demo's, and two of larger policies. */
const ATTENTIONS: readonly (readonly [B: number, T: number, H: number, G: number, D: number])[] = [
  [64, 64, 4, 4, 32],
  [8, 1024, 16, 4, 64],
  [2, 4096, 32, 8, 128],
]

const rotaryAttention = (cpu: Device, B: number, T: number, H: number, G: number, D: number): Work => {
  const inputs = {
    query: normalInput(cpu, [B, T, H * D], { seed: 1 }),
    key: normalInput(cpu, [B, T, G * D], { seed: 2 }),
    value: normalInput(cpu, [B, T, G * D], { seed: 3 }),
  }
  // The reference is quadratic in T.
  const isSmall = B * H * T * T * D < 1e9
  const peers: readonly PeerMode[] = ['eager', 'compile']
  return {
    op: 'rotaryAttention',
    shape: `${B}x${T}x${H}x${G}x${D}`,
    dtype: 'f32',
    inputs,
    options: { heads: H, keyValueHeads: G, base: 10000 },
    bytes: traffic('rotaryAttention', { N: B * T, M: B * T, Q: H * D, C: G * D }, inputs),
    flops: 2 * B * H * T * T * D,
    ceiling: 'multiplyF32',
    judged: isSmall ? ['y'] : [],
    ...(isSmall ? { sampled: { letters: ['N', 'M', 'B'], rows: spread(2, B) } } : {}),
    tolerance: 1e-4,
    peers,
    goals: [],
    note: 'causal: half of the square is counted',
  }
}

/** `fast`: the device multiplies on tensor cores. */
export const modelCases = (cpu: Device, tiny: boolean, fast: boolean): Planned[] => [
  ...(tiny ? [[8, 16, 24] as const] : PRODUCTS).map(
    ([M, K, O]): Planned => ({
      op: 'linear',
      shape: `${M}x${K}x${O}`,
      dtype: 'f32',
      make: () => linear(cpu, M, K, O, fast),
    }),
  ),
  ...(tiny ? [[2, 5, 4, 2, 8] as const] : ATTENTIONS).map(
    ([B, T, H, G, D]): Planned => ({
      op: 'rotaryAttention',
      shape: `${B}x${T}x${H}x${G}x${D}`,
      dtype: 'f32',
      make: () => rotaryAttention(cpu, B, T, H, G, D),
    }),
  ),
]
