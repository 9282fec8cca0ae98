/** The optimizer and the plain copy: nothing but traffic. */
import type { Device } from '../../../lib/device.ts'
import { spread, traffic } from '../../cases/family.ts'
import { givenInput, normalInput, squareInput } from '../data.ts'
import type { Goal, Planned, Work } from '../types.ts'

const goalsOfAdamw: Readonly<Record<number, readonly Goal[]>> = {
  1e9: [{ of: 'time', measure: 'cold', atMost: 6.9 }],
}

const adamw = (cpu: Device, P: number): Work => {
  const inputs = {
    param: normalInput(cpu, [P], { seed: 1 }),
    grad: normalInput(cpu, [P], { seed: 2, deviation: 0.01 }),
    m: normalInput(cpu, [P], { seed: 3, deviation: 0.01 }),
    v: squareInput([P], 4, 0.01),
    step: givenInput(Int32Array.of(10), 'i32'),
    // With a norm, as trainers call it: the gradient is not scanned for NaN a second time.
    norm: givenInput(Float32Array.of(0.01 * Math.sqrt(P)), 'f32'),
  }
  return {
    op: 'adamw',
    shape: String(P),
    dtype: 'f32',
    inputs,
    options: { lr: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 },
    bytes: traffic('adamw', { P }, inputs),
    ceiling: 'copy',
    judged: ['param'],
    sampled: { letters: ['P'], rows: spread(1000, P) },
    tolerance: 1e-5,
    peers: P <= 1e8 ? ['eager', 'compile'] : ['eager'],
    goals: goalsOfAdamw[P] ?? [],
  }
}

const gradNorm = (cpu: Device, P: number): Work => {
  const inputs = { grad: normalInput(cpu, [P], { seed: 1, deviation: 0.01 }) }
  return {
    op: 'gradNorm',
    shape: String(P),
    dtype: 'f32',
    inputs,
    options: {},
    bytes: traffic('gradNorm', { P }, inputs),
    ceiling: 'read',
    // A billion elements are more than the reference adds up in a reasonable time.
    judged: P <= 1e6 ? ['norm'] : [],
    tolerance: 1e-5,
    peers: ['eager'],
    goals: [],
  }
}

const copy = (cpu: Device, N: number): Work => {
  const inputs = { x: normalInput(cpu, [N], { seed: 1 }) }
  return {
    op: 'copy',
    shape: String(N),
    dtype: 'f32',
    inputs,
    options: {},
    bytes: 8 * N,
    ceiling: 'copy',
    judged: N <= 1e6 ? ['y'] : [],
    tolerance: 0,
    peers: ['eager'],
    goals: [],
  }
}

export const flatCases = (cpu: Device, tiny: boolean): Planned[] => {
  const plan =
    (op: string, make: (cpu: Device, count: number) => Work) =>
    (count: number): Planned => ({ op, shape: String(count), dtype: 'f32', make: () => make(cpu, count) })
  const sizes = tiny ? [1000] : [1e9, 1e8, 1e6]
  return [
    ...sizes.map(plan('adamw', adamw)),
    ...sizes.map(plan('gradNorm', gradNorm)),
    ...sizes.map(plan('copy', copy)),
  ]
}
