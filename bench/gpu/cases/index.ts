/** Every case there is, the ones that matter most first: a run that is cut short has measured what matters. */
import type { Device } from '../../../lib/device.ts'
import type { Planned } from '../types.ts'
import { advantageCases } from './advantages.ts'
import { flatCases } from './flat.ts'
import { logitCases } from './logits.ts'
import { lossCases } from './losses.ts'
import { modelCases } from './model.ts'
import { stepCases } from './steps.ts'

export const SCALES = ['tiny', 'full'] as const
export type Scale = (typeof SCALES)[number]

export const caseName = ({ op, shape, dtype }: Pick<Planned, 'op' | 'shape' | 'dtype'>): string =>
  `${op} [${shape}] ${dtype}`

/**
 * @param cpu the device that narrows what is drawn
 * @param fast products are made on tensor cores
 */
export const planAll = (cpu: Device, scale: Scale, fast = false): Planned[] => {
  const tiny = scale === 'tiny'
  const { forward, backward } = logitCases(cpu, tiny)
  const [advantages, losses, flat] = [advantageCases(cpu, tiny), lossCases(cpu, tiny), flatCases(cpu, tiny)]
  const [first, later] = [7, 5]
  return [
    ...forward.slice(0, first),
    ...advantages.slice(0, 3),
    ...stepCases(cpu, tiny),
    ...losses.slice(0, later),
    ...flat.slice(0, 1),
    ...backward.slice(0, first),
    ...modelCases(cpu, tiny, fast),
    ...flat.slice(1),
    ...advantages.slice(3),
    ...losses.slice(later),
    ...forward.slice(first),
    ...backward.slice(first),
  ]
}
