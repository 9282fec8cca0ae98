/** What each command does, loaded when it is called: help and refusals need none of it. */
import type { Context } from './context.ts'
import type { CommandName } from './table.ts'

export const runners: {
  readonly [Name in CommandName]: () => Promise<{ run(context: Context<Name>): Promise<void> }>
} = {
  tokenizer: () => import('./commands/tokenizer.ts'),
  pretrain: () => import('./commands/pretrain.ts'),
  sft: () => import('./commands/sft.ts'),
  reward: () => import('./commands/reward.ts'),
  dpo: () => import('./commands/dpo.ts'),
  ppo: () => import('./commands/ppo.ts'),
  generate: () => import('./commands/generate.ts'),
  eval: () => import('./commands/eval.ts'),
  inspect: () => import('./commands/inspect.ts'),
}
