import { addRows, pickRows } from '../common/row_plans.ts'

export const embeddingPlan = pickRows
export const embeddingBackwardPlan = addRows('V')
