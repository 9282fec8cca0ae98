import { elements } from '../common/plan.ts'

export const copyPlan = elements('N')
