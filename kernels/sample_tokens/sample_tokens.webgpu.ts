import { rows } from '../common/plan.ts'

export const sampleTokensPlan = { ...rows('N'), include: ['common/u64.wgsl'] }
