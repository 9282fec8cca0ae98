/** Where plain typed arrays are computed. In Node that is the cpu; a browser has none, and needs tensors. */
import type { Device } from './device.ts'
import { refuse } from './refuse.ts'

let make: () => Device = () =>
  refuse('ERR_DEVICE_MISMATCH', 'plain typed arrays are computed on the cpu device, which is not here.', {
    fix: 'Make tensors: device.tensor(array).',
  })

export const setDefaultDevice = (open: () => Device): void => {
  make = open
}

export const defaultDevice = (): Device => make()
