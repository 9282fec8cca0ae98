/** Model folders: found out to be what a command needs before anything long begins. */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { PrefgradError } from '../errors.ts'
import type { ModelConfig } from '../model/config.ts'
import { readConfig } from '../model/files.ts'
import { tokenizerPath } from '../model/policy.ts'
import { Tokenizer } from '../model/tokenizer.ts'
import { fileError } from '../train/atomic.ts'
import type { CardSource } from '../train/card.ts'
import { RunFolder } from '../train/store.ts'

/** A folder with a model and its tokenizer. */
export interface ModelFolder {
  directory: string
  config: ModelConfig
  tokenizer: Tokenizer
  /** The bytes of its tokenizer.json, which goes with every model that is made from it. */
  tokenizerFile: Uint8Array
  /** For `run.json` and for what a resumed run must have in common with the one before. */
  source: CardSource
}

/**
 * Looks at the folder that `flag` names.
 *
 * @throws PrefgradError `ERR_FILE` with what to do when it is missing, unfinished, or holds another kind of model.
 */
export const openModelFolder = async (
  flag: string,
  directory: string,
  kind: 'causal-lm' | 'reward' = 'causal-lm',
): Promise<ModelFolder> => {
  const refuse = (what: string, fix: string): never => {
    throw new PrefgradError('ERR_FILE', `${flag} ${directory}: ${what}.`, { arg: flag, value: directory, fix })
  }
  const make = kind === 'reward' ? '`prefgrad reward`' : '`prefgrad pretrain` or `prefgrad sft`'
  if (!existsSync(directory)) refuse('there is no such folder', `Make a model with ${make}, or check the path.`)
  if (!statSync(directory).isDirectory()) refuse('this is a file, not a folder', 'Name the folder that holds it.')
  const missing = ['config.json', 'model.safetensors'].find((name) => !existsSync(join(directory, name)))
  if (missing !== undefined && RunFolder.holdsRun(directory)) {
    refuse('its run has not finished, so it holds no model yet', 'Finish it: the same command again with --resume.')
  }
  if (missing !== undefined) refuse(`it holds no ${missing}`, `Make a model with ${make}, or check the path.`)
  const described = readConfig(join(directory, 'config.json'))
  if (described.kind !== kind) {
    const [is, wanted] =
      kind === 'reward' ? ['a language model', 'a reward model'] : ['a reward model', 'a language model']
    refuse(`it holds ${is}, and ${flag} takes ${wanted}`, `Give the folder that ${make} wrote.`)
  }
  const tokenizerFile = tokenizerPath(directory)
  if (!existsSync(tokenizerFile))
    refuse('it holds no tokenizer.json', 'Copy the tokenizer that it was trained with there.')
  const tokenizer = Tokenizer.load(tokenizerFile)
  const { config } = described
  if (tokenizer.vocabularySize > config.vocabularySize) {
    const sizes = `${tokenizer.vocabularySize} tokens, the model ${config.vocabularySize}`
    refuse(`its tokenizer has ${sizes}`, 'Copy the tokenizer that it was trained with there.')
  }
  const source = {
    role: flag.slice(2),
    path: directory,
    sha256: await sha256Of(join(directory, 'model.safetensors')),
  }
  return { directory, config, tokenizer, tokenizerFile: readFileSync(tokenizerFile), source }
}

/** @throws PrefgradError `ERR_CONFIG` when two models would read the same token ids as different texts. */
export const assertSameTokenizer = (a: ModelFolder, b: ModelFolder): void => {
  if (Buffer.compare(a.tokenizerFile, b.tokenizerFile) === 0) return
  throw new PrefgradError('ERR_CONFIG', `${a.directory} and ${b.directory} have different tokenizers.`, {
    arg: 'tokenizer.json',
    fix: 'Use models that were trained from the same base.',
  })
}

/** SHA-256 of a file's bytes, in hex. */
export const sha256Of = async (path: string): Promise<string> => {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk)
  } catch (cause) {
    throw fileError(cause, 'read', path)
  }
  return hash.digest('hex')
}
