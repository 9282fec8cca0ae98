/** `--reward`: a reward model's folder, or a JavaScript file with a function. */
import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { EncodedExample } from '../data/index.ts'
import type { Device } from '../device.ts'
import { PrefgradError } from '../errors.ts'
import { RewardModel } from '../model/policy.ts'
import type { CardSource } from '../train/card.ts'
import type { Reward, RewardSample } from '../train/ppo.ts'
import { score } from '../train/reward.ts'
import { assertSameTokenizer, type ModelFolder, openModelFolder, sha256Of } from './models.ts'

export interface Judge {
  reward: Reward
  source: CardSource
  /** Of the reward model; 0 for a function. */
  parameters: number
}

/**
 * Opens what `--reward` names for the completions of some policies.
 *
 * @throws PrefgradError `ERR_FILE` when it is missing, no reward model, or a file without a function; `ERR_CONFIG` when
 * the reward model reads other token ids than a policy writes.
 */
export const openJudge = async (device: Device, path: string, ...policies: ModelFolder[]): Promise<Judge> => {
  const isFile = existsSync(path) ? !statSync(path).isDirectory() : /\.[cm]?[jt]s$/.test(path)
  if (isFile) return openFunction(path)
  const folder = await openModelFolder('--reward', path, 'reward')
  for (const policy of policies) assertSameTokenizer(policy, folder)
  const model = RewardModel.load(device, path)
  return {
    reward: (samples) => score(model, samples.map(exampleOf)),
    source: { ...folder.source, parameters: model.parameters().count },
    parameters: model.parameters().count,
  }
}

const exampleOf = ({ promptTokens, completionTokens }: RewardSample): EncodedExample => {
  const tokens = new Int32Array(promptTokens.length + completionTokens.length)
  tokens.set(promptTokens)
  tokens.set(completionTokens, promptTokens.length)
  return { tokens, promptLength: promptTokens.length }
}

const openFunction = async (path: string): Promise<Judge> => {
  const failed = (what: string, cause?: unknown): PrefgradError =>
    new PrefgradError('ERR_FILE', `--reward ${path} ${what}.`, {
      arg: '--reward',
      fix: 'Its default export must be a function, (samples) => samples.map(({ prompt, completion }) => a finite number).',
      cause,
    })
  if (!existsSync(path)) {
    throw new PrefgradError('ERR_FILE', `--reward ${path} does not exist.`, { arg: '--reward', fix: 'Check the path.' })
  }
  let imported: { default?: unknown }
  try {
    imported = await import(pathToFileURL(resolve(path)).href)
  } catch (cause) {
    throw failed(`cannot be loaded: ${(cause as Error).message}`, cause)
  }
  const call = imported.default
  if (typeof call !== 'function') throw failed(`exports ${call === undefined ? 'no default' : `a ${typeof call}`}`)
  const reward: Reward = async (samples) => {
    let scores: unknown
    try {
      scores = await call(samples)
    } catch (cause) {
      throw failed(`threw an error: ${(cause as Error)?.message ?? String(cause)}`, cause)
    }
    if (!Array.isArray(scores) && !ArrayBuffer.isView(scores)) throw failed(`returned ${typeof scores}, not an array`)
    const list = scores as ArrayLike<number>
    if (list.length !== samples.length) throw failed(`returned ${list.length} scores for ${samples.length} samples`)
    const bad = Array.from(list).findIndex((score) => !Number.isFinite(score))
    if (bad >= 0) throw failed(`returned ${String(list[bad])} for sample ${bad}`)
    return list
  }
  return { reward, source: { role: 'reward', path, sha256: await sha256Of(path) }, parameters: 0 }
}
