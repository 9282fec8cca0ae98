import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { readText } from '../../data/index.ts'
import { PrefgradError } from '../../errors.ts'
import { trainTokenizer } from '../../model/tokenizer.ts'
import { makeFolder } from '../../train/atomic.ts'
import type { Context } from '../context.ts'
import { count } from '../format.ts'
import { readFiles } from '../inputs.ts'
import { sha256Of } from '../models.ts'

/** `prefgrad tokenizer`. */
export const run = async (context: Context<'tokenizer'>): Promise<void> => {
  const { values, reporter } = context
  const { out, vocabularySize } = values
  if (existsSync(out)) {
    throw new PrefgradError('ERR_FILE', `--out ${out} exists.`, {
      arg: '--out',
      fix: 'Give another name, or remove it.',
    })
  }
  const { records } = await readFiles(context, 'text', values.data, readText)
  const texts = records.map(({ text }) => text)
  const bytes = texts.reduce((total, text) => total + Buffer.byteLength(text), 0)
  if (values.dryRun) {
    reporter.record(
      'plan',
      { vocabularySize, bytes },
      `plan: ${vocabularySize} tokens from ${count(bytes)} bytes of text`,
    )
    return
  }
  const tokenizer = trainTokenizer(texts, { vocabularySize })
  if (tokenizer.vocabularySize < vocabularySize) {
    const fewer = `the text has pairs for ${tokenizer.vocabularySize} tokens only`
    reporter.info('fewer', { wanted: vocabularySize, vocabularySize: tokenizer.vocabularySize }, fewer)
  }
  const tokens = texts.reduce((total, text) => total + tokenizer.encode(text).length, 0)
  makeFolder(dirname(out))
  tokenizer.save(out)
  reporter.record(
    'result',
    {
      out,
      vocabularySize: tokenizer.vocabularySize,
      tokens,
      bytes,
      bytesPerToken: bytes / tokens,
      sha256: await sha256Of(out),
    },
    `${out}: ${tokenizer.vocabularySize} tokens, ${(bytes / tokens).toFixed(2)} bytes a token on this text`,
  )
}
