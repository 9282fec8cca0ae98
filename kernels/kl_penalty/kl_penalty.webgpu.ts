import { tokenLoss } from '../common/token_loss.webgpu.ts'

export const klPenaltyPlan = tokenLoss(['common/log_ratio.wgsl'])
