import { elements } from '../common/plan.ts'

export const axpyPlan = elements('N')
