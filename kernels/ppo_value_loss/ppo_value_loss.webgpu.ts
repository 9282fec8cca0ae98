import { tokenLoss } from '../common/token_loss.webgpu.ts'

export const ppoValueLossPlan = tokenLoss()
