import { pairLoss } from '../common/pair_loss.webgpu.ts'

export const bradleyTerryLossPlan = pairLoss()
