/** The whole loop from the command line on a tiny model, and what stops it: Ctrl-C, kill -9, a full disk. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { prefgrad, type Result, type RunOptions, recordsOf, TINY, temporaryFolder, writeWorld } from './cli_world.ts'

const folder = temporaryFolder()

/** A run in the world's folder that must end well. */
const run = async (words: readonly string[], options: RunOptions = {}): Promise<Result> => {
  const result = await prefgrad(words, { cwd: folder, ...options })
  assert.equal(result.code, 0, `${words.join(' ')}\n${result.stderr}`)
  return result
}

const bytesOf = (...path: string[]): Buffer => readFileSync(join(folder, ...path))
const cardOf = (out: string) => JSON.parse(bytesOf(out, 'run.json').toString())

const SMALL = ['--batch-size', '8', '--lr', '0.003', '--threads', '1']
/** Rounds of PPO, one line each with --json; `out` comes last. */
const ROUNDS = ['--iterations', '6', '--rollouts', '8', '--max-new-tokens', '4', '--save-every', '1', '--threads', '1']
const ppoWords = (out: string): string[] => [
  ...['ppo', '--model', 'sft', '--reward', 'slow.js', '--data', 'prompts.jsonl', ...ROUNDS, '--json', '--out', out],
]

before(() => {
  writeWorld(folder)
  // From the fourth round on it takes JUDGE_DELAY milliseconds a round, 'forever' without end.
  writeFileSync(
    join(folder, 'slow.js'),
    `let rounds = 0
const delay = process.env.JUDGE_DELAY
export default async (samples) => {
  rounds++
  if (delay && rounds > 3) await new Promise((done) => setTimeout(done, delay === 'forever' ? 2 ** 30 : Number(delay)))
  return samples.map(({ completion }) => completion.length)
}
`,
  )
})

test('tokenizer, pretrain, sft, reward, dpo, ppo, generate and eval run one after the other', async () => {
  const tokenizer = await run([
    'tokenizer',
    '--data',
    'text.jsonl',
    '--vocabulary-size',
    '300',
    '--out',
    'tokenizer.json',
  ])
  assert.match(tokenizer.stdout, /^tokenizer\.json: 300 tokens, [\d.]+ bytes a token/)

  const sizes = TINY.slice(0, TINY.indexOf('--vocabulary-size'))
  const words = ['--data', 'text.jsonl', '--tokenizer', 'tokenizer.json', '--held-out', '0.2', ...sizes, ...SMALL]
  const base = await run(['pretrain', ...words, '--epochs', '3', '--out', 'base'])
  const perplexities = [...base.stdout.matchAll(/held-out perplexity ([\d.]+), [\d.]+ nats a byte/g)].map(([, p]) =>
    Number(p),
  )
  assert.ok(perplexities.length === 2 && perplexities[1] < perplexities[0], base.stdout)
  const halved = await run(['pretrain', ...words, '--max-steps', '1', '--dtype', 'bf16', '--out', 'base16'])
  assert.match(halved.stdout, /1 step done/)
  assert.ok(bytesOf('base16', 'model.safetensors').length < 0.6 * bytesOf('base', 'model.safetensors').length)

  const sft = await run(['sft', '--model', 'base', '--data', 'sft.jsonl', ...SMALL, '--epochs', '3', '--out', 'sft'])
  const losses = [...sft.stdout.matchAll(/held-out loss ([\d.]+) nats a token/g)].map(([, loss]) => Number(loss))
  assert.ok(losses.length === 2 && losses[1] < losses[0], sft.stdout)

  const pairs = ['--data', 'pairs.jsonl', ...SMALL, '--held-out', '0.3']
  const reward = await run(['reward', '--model', 'sft', ...pairs, '--epochs', '6', '--out', 'reward'])
  assert.match(reward.stdout, /^before: held-out accuracy 50\.0 % .* of \d+ pairs with a preference \(0 ties\)/m)
  assert.match(reward.stdout, /^after: {2}held-out accuracy \d+\.\d % \[.*\], .* calibration error 0\.\d+, margin /m)
  await run(['dpo', '--model', 'sft', ...pairs, '--sft-coefficient', '0.1', '--out', 'dpo'])

  const prompts = [
    '--data',
    'prompts.jsonl',
    '--eval-data',
    'eval.jsonl',
    '--ptx-data',
    'sft.jsonl',
    '--ptx-coefficient',
    '0.1',
  ]
  const rounds = ['--iterations', '2', '--rollouts', '8', '--max-new-tokens', '6', '--threads', '1']
  await run(['ppo', '--model', 'sft', '--reward', 'judge.js', ...prompts, ...rounds, '--out', 'ppo'])
  const byModel = await run([
    'ppo',
    '--model',
    'sft',
    '--reward',
    'reward',
    ...prompts,
    ...rounds,
    '--json',
    '--out',
    'ppo2',
  ])
  const events = recordsOf(byModel)
  assert.equal(events.filter(({ event }) => event === 'step').length, 2)
  assert.equal(events.at(-1)?.event, 'result')
  assert.equal(byModel.stderr, '')

  const sampling = ['--max-new-tokens', '6', '--threads', '1', '--seed', '4']
  const text = await run([
    'generate',
    '--model',
    'ppo',
    '--prompt',
    'What of the cat?',
    'And?',
    '--count',
    '2',
    ...sampling,
  ])
  assert.equal(text.stdout.split('\n---\n').length, 4)
  assert.match(text.stdout, /^What of the cat\?/)
  const again = await run([
    'generate',
    '--model',
    'ppo',
    '--prompt',
    'What of the cat?',
    'And?',
    '--count',
    '2',
    ...sampling,
  ])
  assert.equal(again.stdout, text.stdout)

  const judged = ['--model', 'ppo', '--baseline', 'sft', '--reward', 'judge.js', '--data', 'eval.jsonl']
  const compared = await run(['eval', ...judged, ...sampling, '--text', 'text.jsonl'])
  assert.match(compared.stdout, /win rate of ppo over sft, 192 pairs on 12 prompts:/)
  assert.match(compared.stdout, /ties as ½ +\d+\.\d % {2}\[\d+\.\d %, \d+\.\d %\]/)
  assert.match(compared.stdout, /^sft: perplexity [\d.]+ over \d+ tokens, [\d.]+ nats a byte$/m)
  const [, rate] = recordsOf(await run(['eval', ...judged, ...sampling, '--json'])).slice(-2)
  assert.equal(rate.event, 'win-rate')
  assert.equal(rate.pairs, 192)
})

test('run.json says what was done, with what, and what it is good for', () => {
  const card = cardOf('reward')
  assert.equal(card.status, 'finished')
  assert.match(card.command, /^prefgrad reward --model sft --data pairs\.jsonl .* --out reward$/)
  assert.equal(card.labeller, 'unknown: state who labelled this data')
  assert.deepEqual(
    card.data.map(({ role, path, records }: Record<string, unknown>) => [role, path, records]),
    [['training', 'pairs.jsonl', 36]],
  )
  assert.equal(card.sources[0].sha256, cardOf('sft').files['model.safetensors'])
  assert.equal(card.configuration.heldOut, 0.3)
  assert.equal(card.metrics.last.step, card.steps)
  assert.ok(card.metrics.after.accuracy.value >= card.metrics.before.accuracy.value)
  assert.equal(card.flops.estimate, 6 * card.parameters * card.metrics.last.num_tokens)
  assert.ok(Date.parse(card.ended) >= Date.parse(card.started))
  assert.match(cardOf('ppo').sources[1].path, /judge\.js/)
})

test('Ctrl-C saves, says how to go on, and going on gives the bytes of a run that was not stopped', async () => {
  await run(ppoWords('straight'))
  let sent = false
  const stopped = await prefgrad(ppoWords('stopped'), {
    cwd: folder,
    env: { JUDGE_DELAY: '400' },
    onOutput: (stdout, child) => {
      if (!sent && stdout.includes('"step":3')) sent = child.kill('SIGINT')
    },
  })
  assert.equal(stopped.code, 130, stopped.stderr)
  const message = /Stopped after step (\d); saved as (\S+)\.\nGo on with: prefgrad (.*)\n$/.exec(stopped.stderr)
  assert.ok(message !== null, stopped.stderr)
  assert.ok(Number(message[1]) >= 3 && Number(message[1]) < 6)
  assert.ok(existsSync(join(folder, message[2])))
  assert.equal(cardOf('stopped').status, 'stopped')
  assert.equal(message[3], `${ppoWords('stopped').join(' ')} --resume`)

  const resumed = await run(message[3].split(' '))
  assert.equal(recordsOf(resumed).find(({ event }) => event === 'resumed')?.step, Number(message[1]))
  assert.deepEqual(bytesOf('stopped', 'model.safetensors'), bytesOf('straight', 'model.safetensors'))
  assert.deepEqual(bytesOf('stopped', 'metrics.jsonl'), bytesOf('straight', 'metrics.jsonl'))
  assert.equal(cardOf('stopped').status, 'finished')
})

/** A run that kill -9 ended after its third round. */
const killed = async (out: string): Promise<void> => {
  const { signal } = await prefgrad(ppoWords(out), {
    cwd: folder,
    env: { JUDGE_DELAY: 'forever' },
    onOutput: (stdout, child) => {
      if (stdout.includes('"step":3')) child.kill('SIGKILL')
    },
  })
  assert.equal(signal, 'SIGKILL')
}

test('a run that kill -9 ended goes on with --resume, also after a disk was full in between', async () => {
  await killed('killed')
  assert.ok(!existsSync(join(folder, 'killed/model.safetensors')))
  const use = await prefgrad(['generate', '--model', 'killed', '--prompt', 'x'], { cwd: folder })
  assert.match(
    use.stderr,
    /its run has not finished, so it holds no model yet\. Finish it: the same command again with --resume/,
  )

  // 20 KiB is room for metrics and run.json, not for a checkpoint.
  const checkpoints = readdirSync(join(folder, 'killed/checkpoints'))
  const words = [...ppoWords('killed'), '--resume']
  const full = await prefgrad(words, { cwd: folder, shell: 'ulimit -f 20; "$@"' })
  assert.equal(full.code, 1)
  assert.match(
    full.stderr,
    /Cannot write killed\/checkpoints\/step-00000004\S*: the file would exceed the largest size/,
  )
  assert.match(
    full.stderr,
    /Whatever the file held before is untouched\. Raise `ulimit -f`.*\nGo on with: prefgrad ppo .* --resume\n$/,
  )
  assert.deepEqual(readdirSync(join(folder, 'killed/checkpoints')), checkpoints)

  await run(words)
  assert.deepEqual(bytesOf('killed', 'model.safetensors'), bytesOf('straight', 'model.safetensors'))
  assert.deepEqual(bytesOf('killed', 'metrics.jsonl'), bytesOf('straight', 'metrics.jsonl'))
})

test('a disk that is full from the start is found out at once; the same command works when there is room', async () => {
  const words = ['sft', '--model', 'base', '--data', 'sft.jsonl', ...SMALL, '--out', 'full']
  const full = await prefgrad(words, { cwd: folder, shell: 'ulimit -f 20; "$@"' })
  assert.equal(full.code, 1)
  assert.match(full.stderr, /Cannot write full\/checkpoints\/step-00000000.*Raise `ulimit -f`/)
  assert.doesNotMatch(full.stdout, /sft 1\//)
  assert.doesNotMatch(full.stderr, /--resume/)
  await run(words)
})

test('resuming with other settings or data is refused with what differs, and touches nothing', async () => {
  const card = bytesOf('stopped', 'run.json')
  const words = [...ppoWords('stopped'), '--resume']
  const settings = await prefgrad([...words, '--lr', '0.5'], { cwd: folder })
  assert.equal(settings.code, 1)
  assert.match(
    settings.stderr,
    /belongs to a run with other settings or data: lr was 0\.0001 and is 0\.5\. Resume with exactly/,
  )
  const data = await prefgrad(
    words.map((word) => (word === 'prompts.jsonl' ? 'eval.jsonl' : word)),
    { cwd: folder },
  )
  assert.match(data.stderr, /other settings or data: inputs was \["prompts [0-9a-f]{64}"/)
  assert.deepEqual(bytesOf('stopped', 'run.json'), card)
})

test('a second Ctrl-C ends the command at once', async () => {
  let first = false
  let child: ChildProcess | undefined
  const ended = prefgrad(ppoWords('twice'), {
    cwd: folder,
    env: { JUDGE_DELAY: 'forever' },
    onOutput: (stdout, running) => {
      if (first || !stdout.includes('"step":3')) return
      child = running
      first = running.kill('SIGINT')
      running.stderr?.once('data', () => child?.kill('SIGINT'))
    },
  })
  const { signal, stderr } = await ended
  assert.equal(signal, 'SIGINT')
  assert.match(stderr, /stopping at the next safe place; once more quits at once/)
})
