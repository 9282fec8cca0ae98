import { addRows, pickRows } from '../common/row_plans.ts'

export const gatherRowsPlan = pickRows
export const gatherRowsBackwardPlan = addRows('M')
