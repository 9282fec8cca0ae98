/** The command line without training: help, refusals, what a dry run shows. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { helpOf } from '../lib/cli/help.ts'
import { parse } from '../lib/cli/parse.ts'
import { flagOf, optionsOf } from '../lib/cli/schema.ts'
import { commands } from '../lib/cli/table.ts'
import { PrefgradError } from '../lib/index.ts'
import { prefgrad, recordsOf, TINY, temporaryFolder, writeWorld } from './cli_world.ts'

const folder = temporaryFolder()
const at = { cwd: folder }

before(async () => {
  writeWorld(folder)
  const made = await prefgrad(['pretrain', '--data', 'text.jsonl', ...TINY, '--max-steps', '1', '--out', 'base'], at)
  assert.equal(made.code, 0, made.stderr)
})

test('the overview names every command; each has a help with all its options, defaults and an example', async () => {
  const overview = await prefgrad(['--help'])
  assert.equal(overview.code, 0)
  for (const [name, command] of Object.entries(commands)) {
    assert.match(overview.stdout, new RegExp(`^ {2}${name} +${command.summary.slice(0, 20)}`, 'm'))
    const help = helpOf(name, command)
    const words = help.replace(/\s+/g, ' ')
    assert.ok(help.includes(`prefgrad ${name} ${command.example}`), name)
    for (const [option, spec] of optionsOf(command)) {
      if ((command as { positional?: string }).positional !== option)
        assert.ok(words.includes(` ${flagOf(option)} `), option)
      if ('default' in spec && typeof spec.default === 'number')
        assert.ok(words.includes(`default ${spec.default}`), option)
    }
    assert.ok(
      help.split('\n').every((line) => line.length <= 100),
      `${name}: a line is too wide`,
    )
  }
  const sft = await prefgrad(['sft', '--help'])
  assert.equal(sft.stdout, `${helpOf('sft', commands.sft)}\n`)
  assert.equal(sft.code, 0)
})

test('--version prints the version of package.json', async () => {
  const { stdout, code } = await prefgrad(['--version'])
  assert.equal(code, 0)
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/)
})

test('options are read by their kind: lists, numbers, choices, flags, and defaults for the rest', () => {
  const values = parse(commands.sft, [
    '--model=m',
    '--data',
    'a',
    'b',
    '--lr',
    '1e-4',
    '--out',
    'o',
    '--data',
    'c',
    '--resume',
  ])
  assert.deepEqual(values.data, ['a', 'b', 'c'])
  assert.equal(values.lr, 1e-4)
  assert.equal(values.model, 'm')
  assert.equal(values.resume, true)
  assert.equal(values.dryRun, false)
  assert.equal(values.truncate, 'drop')
  assert.equal(values.maxLength, undefined)
  assert.deepEqual(parse(commands.inspect, ['a', 'b', '--json', 'c']).paths, ['a', 'b', 'c'])
  assert.equal(parse(commands.ppo, ['--help', '--missing-end-penalty', '-1']).missingEndPenalty, -1)
})

test('a command line that cannot be understood is refused with what was probably meant', () => {
  const refusals: [string[], RegExp][] = [
    [['--batchsize', '3'], /no option --batchsize\. Did you mean --batch-size\?/],
    [['--learning-rate', '3'], /Did you mean --lr\?/],
    [['--max_len=3'], /Did you mean --max-length\?/],
    [['-q'], /no option -q\. See --help/],
    [['--truncate', 'promt-left'], /--truncate cannot be 'promt-left'\. Did you mean 'prompt-left'\?/],
    [['--lr', '0'], /--lr must be a number, above 0, and is '0'/],
    [['--lr', 'fast'], /--lr must be a number, above 0, and is 'fast'/],
    [['--batch-size', '1.5'], /--batch-size must be a whole number, at least 1, and is '1.5'/],
    [['--held-out', '1'], /--held-out must be a number, at least 0 and below 1/],
    [['--seed', '--out', 'x'], /--seed needs a value: --seed N/],
    [['--seed'], /--seed needs a value/],
    [['--resume=yes'], /--resume takes no value/],
    [['--lr', '1', '--lr', '2'], /--lr is given twice/],
    [['pairs.jsonl'], /'pairs.jsonl' belongs to no option/],
    [['--data', 'x', '--out', 'y'], /--model is missing/],
  ]
  for (const [words, message] of refusals) {
    assert.throws(
      () => parse(commands.sft, words),
      (error) => error instanceof PrefgradError && error.code === 'ERR_USAGE' && message.test(error.message),
      words.join(' '),
    )
  }
})

test('a wrong option or command ends with code 2 and one line', async () => {
  const option = await prefgrad(['sft', '--modle', 'x'])
  assert.equal(option.code, 2)
  assert.equal(option.stderr, 'prefgrad sft: there is no option --modle. Did you mean --model?\n')
  const command = await prefgrad(['sftt'])
  assert.equal(command.code, 2)
  assert.equal(command.stderr, "prefgrad: there is no command 'sftt'. Did you mean 'sft'?\n")
})

test('inspect says which device runs and why the others do not, also as JSON', async () => {
  const people = await prefgrad(['inspect'])
  assert.equal(people.code, 0, people.stderr)
  assert.match(people.stdout, /cpu +yes/)
  assert.match(people.stdout, /cuda +(yes|no +\S+)/)
  const [record] = recordsOf(await prefgrad(['inspect', '--json']))
  assert.equal(record.event, 'inspection')
  assert.equal((record.devices as { name: string }[]).length, 3)
})

test('inspect describes models, tokenizers and data files', async () => {
  const paths = ['base', 'base/model.safetensors', 'base/tokenizer.json', 'pairs.jsonl', 'sft.jsonl', 'prompts.jsonl']
  const { stdout, stderr } = await prefgrad(['inspect', ...paths], at)
  assert.equal(stderr, '')
  assert.match(stdout, /base: \n {2}pretraining, finished, 1 steps: prefgrad pretrain/)
  assert.match(stdout, /language model: 1 layers, width 16/)
  assert.match(stdout, /tokenizer\.json: tokenizer of \d+ tokens/)
  assert.match(stdout, /pairs\.jsonl: preference pairs: 36 records from 36 lines/)
  assert.match(stdout, /sft\.jsonl: texts to imitate: 36 records/)
  assert.match(stdout, /prompts\.jsonl: prompts: 24 records/)
})

test('a dry run shows counts, one example with its loss mask and the plan, and writes nothing', async () => {
  const words = [
    '--model',
    'base',
    '--data',
    'sft.jsonl',
    '--batch-size',
    '8',
    '--epochs',
    '2',
    '--out',
    'dry',
    '--dry-run',
  ]
  const { code, stdout, stderr } = await prefgrad(['sft', ...words], at)
  assert.equal(code, 0, stderr)
  assert.equal(stdout, '')
  assert.match(stderr, /sft\.jsonl: 36 records from 36 lines/)
  assert.match(stderr, /\d+ examples: \d+ kept; \d+ prompt and \d+ response tokens/)
  assert.match(stderr, /prompt: \d+ tokens, no loss\n {2}What of the \w+ that \w+\?/)
  assert.match(stderr, /response: \d+ tokens, the loss falls on these\n {2}\[.*\]\[end of text\]/)
  assert.match(stderr, /plan: \d+ steps, about [\d,]+ tokens, [\d.]+ [kMG]FLOP; [\d,]+ parameters on cpu/)
  assert.ok(!existsSync(join(folder, 'dry')))
  const records = recordsOf(await prefgrad(['sft', ...words, '--json'], at))
  assert.deepEqual(
    records.map(({ event }) => event),
    ['data', 'split', 'lengths', 'example', 'plan'],
  )
})

/** Expects code 1 and a message of this form, and that nothing was made. */
const refused = async (words: string[], message: RegExp): Promise<void> => {
  const { code, stderr } = await prefgrad([...words, '--out', 'refused'], at)
  assert.equal(code, 1, stderr)
  assert.match(stderr, message)
  assert.doesNotMatch(stderr, /\n {4}at /)
  assert.ok(!existsSync(join(folder, 'refused')), 'a refused command left a folder')
}

test('a missing data file and a missing or wrong model are refused with what to do', async () => {
  await refused(
    ['sft', '--model', 'base', '--data', 'nope.jsonl'],
    /^prefgrad sft: nope\.jsonl does not exist\. Check the path\.\n$/,
  )
  await refused(
    ['sft', '--model', 'bsae', '--data', 'sft.jsonl'],
    /--model bsae: there is no such folder\. Make a model with/,
  )
  await refused(['sft', '--model', 'sft.jsonl', '--data', 'sft.jsonl'], /--model sft\.jsonl: this is a file/)
  await refused(['sft', '--model', '.', '--data', 'sft.jsonl'], /--model \.: it holds no config\.json/)
  await refused(
    ['ppo', '--model', 'base', '--reward', 'base', '--data', 'prompts.jsonl', '--max-new-tokens', '4'],
    /--reward base: it holds a language model, and --reward takes a reward model/,
  )
})

test('a device that is not there is refused before any data is read', async () => {
  const { code, stderr } = await prefgrad(
    ['pretrain', '--data', 'text.jsonl', '--device', 'gpu', '--out', 'refused'],
    at,
  )
  assert.equal(code, 1)
  assert.match(stderr, /^prefgrad pretrain: there is no device 'gpu'\. Use one of .*cpu/)
})

test('bad lines are named with their numbers, and --bad-lines skip leaves them out', async () => {
  const lines = readFileSync(join(folder, 'pairs.jsonl'), 'utf8').split('\n')
  lines[2] = '{"prompt": "x", "chosen": "y"}'
  lines[4] = 'not json'
  writeFileSync(join(folder, 'bad.jsonl'), lines.join('\n'))
  await refused(
    ['reward', '--model', 'base', '--data', 'bad.jsonl'],
    /bad\.jsonl: 2 of 36 lines cannot be used:\n {2}line 3: .*rejected.*\n {2}line 5: .*\n.*--bad-lines skip/,
  )
  const skipped = await prefgrad(
    ['reward', '--model', 'base', '--data', 'bad.jsonl', '--bad-lines', 'skip', '--dry-run', '--out', 'refused'],
    at,
  )
  assert.equal(skipped.code, 0, skipped.stderr)
  assert.match(skipped.stderr, /34 records from 36 lines .*; 2 bad lines skipped/)
})

test('gzip is read, and a gzip file that was cut off is refused', async () => {
  const whole = gzipSync(readFileSync(join(folder, 'pairs.jsonl')))
  writeFileSync(join(folder, 'whole.gz'), whole)
  writeFileSync(join(folder, 'cut.gz'), whole.subarray(0, whole.length - 20))
  await refused(
    ['reward', '--model', 'base', '--data', 'cut.gz'],
    /cut\.gz is cut off: .*\. Copy or download the file again\./,
  )
  const words = ['reward', '--model', 'base', '--data', 'whole.gz', '--dry-run', '--out', 'refused']
  assert.match((await prefgrad(words, at)).stderr, /whole\.gz: 36 records from 36 lines \(gzip/)
})

test('a prompt in both training and held-out data is refused', async () => {
  await refused(
    ['reward', '--model', 'base', '--data', 'pairs.jsonl', '--eval-data', 'pairs.jsonl'],
    /36 prompts are in the training and in the held-out data; the first is "What of the cat/,
  )
})

test('examples that are all too long are refused with the counts', async () => {
  const words = ['sft', '--model', 'base', '--data', 'sft.jsonl', '--max-length']
  await refused([...words, '4'], /34 examples: 0 kept.*\n.*nothing is left to train on.*--max-length/s)
  await refused(
    [...words, '12', '--truncate', 'error'],
    /longer than 12 tokens; the first, on line \d+, has \d+\. Raise --max-length/,
  )
})

test('an --out that holds a model, a run or a file is never overwritten', async () => {
  const base = readFileSync(join(folder, 'base/model.safetensors'))
  const words = (out: string) => ['sft', '--model', 'base', '--data', 'sft.jsonl', '--out', out]
  const run = await prefgrad(words('base'), at)
  assert.match(run.stderr, /--out base already holds a run\. Give another folder/)
  assert.equal(run.code, 1)
  assert.deepEqual(readFileSync(join(folder, 'base/model.safetensors')), base)
  assert.match((await prefgrad(words('sft.jsonl'), at)).stderr, /--out sft\.jsonl is a file/)
  const tokenizer = await prefgrad(['tokenizer', '--data', 'text.jsonl', '--out', 'base/tokenizer.json'], at)
  assert.match(tokenizer.stderr, /--out base\/tokenizer\.json exists/)
  assert.match((await prefgrad([...words('new'), '--resume'], at)).stderr, /--out new holds no run to go on with/)
})

test('an --out that cannot be made is refused before training', async () => {
  const { code, stderr } = await prefgrad(
    ['sft', '--model', 'base', '--data', 'sft.jsonl', '--out', 'sft.jsonl/run'],
    at,
  )
  assert.equal(code, 1)
  assert.match(stderr, /Cannot write sft\.jsonl\/run\/checkpoints: a part of the path is not a folder/)
})

test('a reward file without a function, or one that throws or returns nonsense, is refused by name', async () => {
  const words = (file: string) => [
    '--model',
    'base',
    '--reward',
    file,
    '--data',
    'prompts.jsonl',
    '--max-new-tokens',
    '4',
  ]
  writeFileSync(join(folder, 'none.js'), 'export const reward = () => 1\n')
  await refused(
    ['ppo', ...words('none.js')],
    /--reward none\.js exports no default\. Its default export must be a function/,
  )
  await refused(['ppo', ...words('nope.js')], /--reward nope\.js does not exist\. Check the path\./)
  writeFileSync(join(folder, 'throws.mjs'), "export default () => { throw new Error('no judge today') }\n")
  writeFileSync(join(folder, 'few.js'), 'export default () => [1]\n')
  writeFileSync(join(folder, 'nan.js'), 'export default (samples) => samples.map(() => NaN)\n')
  const few = await prefgrad(['eval', '--baseline', 'base', '--count', '1', ...words('few.js')], at)
  assert.match(few.stderr, /--reward few\.js returned 1 scores for 24 samples\. Its default export must be/)
  const nan = await prefgrad(['eval', '--baseline', 'base', '--count', '1', ...words('nan.js')], at)
  assert.match(nan.stderr, /--reward nan\.js returned NaN for sample 0/)
  const evaluation = ['eval', '--baseline', 'base', '--count', '1', ...words('throws.mjs')]
  assert.match((await prefgrad(evaluation, at)).stderr, /--reward throws\.mjs threw an error: no judge today/)
})

test('standard output on a full disk is an error with a fix, and a reader that goes away is none', async () => {
  const full = await prefgrad(['--help'], { shell: '"$@" > /dev/full' })
  assert.equal(full.code, 1)
  assert.match(full.stderr, /Cannot write standard output: the disk is full \(ENOSPC\)\. Free some space/)
  const words = [
    'generate',
    '--model',
    'base',
    '--data',
    'prompts.jsonl',
    '--max-new-tokens',
    '4',
    '--count',
    '20',
    '--json',
  ]
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's
  const gone = await prefgrad(words, { ...at, shell: '"$@" | head -n 1; echo "code ${PIPESTATUS[0]}"' })
  assert.match(gone.stdout, /"event":"data".*\ncode (141|0)\n$/)
  assert.equal(gone.stderr, '')
})

test('threads of a GPU are refused, also where the environment chose it', async () => {
  const words = ['generate', '--model', 'base', '--prompt', 'What', '--threads', '1']
  for (const [more, env] of [
    [['--device', 'webgpu'], {}],
    [[], { PREFGRAD_DEVICE: 'webgpu' }],
  ] as const) {
    const { stderr, code } = await prefgrad([...words, ...more], { ...at, env })
    assert.match(stderr, /^prefgrad generate: --threads is for the cpu device, and the device is webgpu\. Leave/)
    assert.equal(code, 2)
  }
})
