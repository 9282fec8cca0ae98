import { elements } from '../common/plan.ts'

export const addPlan = elements('N')
