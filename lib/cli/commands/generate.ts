import { encodePrompts, type PromptExample, readPrompts } from '../../data/index.ts'
import { TransformerPolicy } from '../../model/policy.ts'
import { type Context, deviceOf } from '../context.ts'
import { printable } from '../format.ts'
import { readFiles } from '../inputs.ts'
import { complete } from '../measure.ts'
import { openModelFolder } from '../models.ts'
import { usageError } from '../parse.ts'

/** `prefgrad generate`. */
export const run = async (context: Context<'generate'>): Promise<void> => {
  const { values, reporter } = context
  if (values.prompt.length + values.data.length === 0) {
    throw usageError('there is nothing to continue.', 'Give --prompt TEXT... or --data FILE....')
  }
  const folder = await openModelFolder('--model', values.model)
  const device = await deviceOf(context)
  const { records } = await readFiles(context, 'prompts', values.data, readPrompts)
  const texts: PromptExample[] = [...values.prompt.map((prompt) => ({ prompt })), ...records]
  const { prompts } = encodePrompts(texts, folder.tokenizer, { maxLength: Number.MAX_SAFE_INTEGER })
  const longest = prompts.reduce((most, { tokens }) => Math.max(most, tokens.length), 0) + values.maxNewTokens
  if (longest > folder.config.contextLength) {
    reporter.note(`up to ${longest} tokens; the model was made for ${folder.config.contextLength}`)
  }

  const policy = TransformerPolicy.load(device, values.model)
  const repeated = prompts.flatMap((prompt) => Array.from({ length: values.count }, () => prompt))
  const samples = await complete(context, policy, folder.tokenizer, repeated, values)
  const terminal = process.stdout.isTTY === true
  samples.forEach(({ prompt, completion, completionTokens, ended }, i) => {
    const text = prompt + completion
    const separator = samples.length === 1 || i === 0 ? '' : '---\n'
    reporter.record(
      'completion',
      { prompt, completion, ended, tokens: completionTokens.length },
      `${separator}${terminal ? printable(text) : text}`,
    )
  })
}
