import { elements } from '../common/plan.ts'

export const fillPlan = elements('N')
