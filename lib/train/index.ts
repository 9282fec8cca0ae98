/**
 * The thin loops: SFT, reward model, DPO and PPO as async generators of step records, and what a run leaves behind.
 *
 * @module
 */
export { AdamW, type AdamWOptions, type StepReport } from '../optim/adamw.ts'
export { type ScheduleOptions, schedule } from '../optim/schedule.ts'
export { Scope, scoped } from '../scope.ts'
export { type CardInput, forwardFlops, type RunCard, runCard, trainingFlops } from './card.ts'
export { loadCheckpoint, loadLatestCheckpoint, saveCheckpoint } from './checkpoint.ts'
export { type DpoOptions, dpo } from './dpo.ts'
export { KlController, type KlControllerOptions } from './kl_controller.ts'
export type { LoopOptions, StepRecord, Trainable } from './loop.ts'
export { RunningMoments } from './moments.ts'
export { type PpoOptions, type PpoRecord, ppo, type Reward, type RewardSample } from './ppo.ts'
export { responseLogprobs } from './response_logprobs.ts'
export { evaluateReward, type RewardEvaluation, type RewardOptions, reward, score } from './reward.ts'
export { addSftGradient, evaluateNll, type SftSums, sft } from './sft.ts'
export { RunFolder, type Snapshot, type SnapshotStore } from './store.ts'
