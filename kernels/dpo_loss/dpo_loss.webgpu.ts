import { pairLoss } from '../common/pair_loss.webgpu.ts'

export const dpoLossPlan = pairLoss(['dpo_loss/dpo_kinds.wgsl'])
