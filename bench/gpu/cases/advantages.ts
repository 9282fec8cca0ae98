/** Generalized advantage estimation: many short rows, few long ones, and what lies between. */
import type { Device } from '../../../lib/device.ts'
import { spread, traffic } from '../../cases/family.ts'
import { flagInput, normalInput } from '../data.ts'
import type { Goal, PeerMode, Planned, Work } from '../types.ts'

type Shape = readonly [B: number, T: number, peers: readonly PeerMode[], goals?: readonly Goal[]]

const FULL: readonly Shape[] = [
  [
    ...([4096, 512, ['eager', 'compile', 'max-autotune']] as const),
    [
      { of: 'time', measure: 'cold', atMost: 9.5e-3 },
      { of: 'time', measure: 'warm', atMost: 6e-3 },
      { of: 'time', measure: 'full', atMost: 12e-3 },
    ],
  ],
  [64, 32768, ['eager', 'compile'], [{ of: 'time', measure: 'cold', atMost: 11e-3 }]],
  [8192, 2048, ['eager', 'compile'], [{ of: 'rate', atLeast: 3900 }]],
  [32768, 16, ['eager', 'compile']],
  [16, 131072, ['eager']],
]
const TINY: readonly Shape[] = [[3, 50, ['eager', 'compile']]]

export const advantageCases = (cpu: Device, tiny: boolean): Planned[] =>
  (tiny ? TINY : FULL).map(([B, T, peers, goals = []]) => ({
    op: 'gae',
    shape: `${B}x${T}`,
    dtype: 'f32',
    make(): Work {
      const inputs = {
        rewards: normalInput(cpu, [B, T], { seed: 1 }),
        values: normalInput(cpu, [B, T], { seed: 2 }),
        bootstrap: normalInput(cpu, [B], { seed: 3 }),
        terminated: flagInput([B, T], 4, 0.002),
      }
      return {
        op: 'gae',
        shape: `${B}x${T}`,
        dtype: 'f32',
        inputs,
        options: { gamma: 0.99, lambda: 0.95 },
        bytes: traffic('gae', { N: B * T, B, T }, inputs),
        ceiling: 'copy',
        judged: ['advantages', 'returns'],
        sampled: { letters: ['N', 'B'], rows: spread(4, B) },
        tolerance: 1e-4,
        peers,
        goals,
      }
    },
  }))
