/** THE table: every op as data, in the order of the documentation. */
import { advantages } from './advantages.ts'
import { logprobs } from './logprobs.ts'
import { model } from './model.ts'
import { optimizer } from './optimizer.ts'
import { policy } from './policy.ts'
import { preference } from './preference.ts'
import { reward } from './reward.ts'

export const table = {
  ...logprobs,
  ...advantages,
  ...policy,
  ...reward,
  ...preference,
  ...optimizer,
  ...model,
} as const

export type OpTable = typeof table
export type OpName = keyof OpTable
