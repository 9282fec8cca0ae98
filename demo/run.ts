/**
 * `npm run demo`: from human ratings of words to a policy trained toward them, and an honest look at what that did. See
 * demo/README.md for the data and its limits.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PrefgradError } from '../lib/index.ts'
import { evaluateReward } from '../lib/train/index.ts'
import { renderReport } from '../lib/train/report.ts'
import { calibration, wilsonInterval } from '../lib/train/statistics.ts'
import { Console } from './console.ts'
import { openDemoDevice, sizeFor } from './device.ts'
import { decidedPairs, labelPairs, turned } from './label.ts'
import { evaluationRow, perplexity } from './measure.ts'
import { readOwnPairs, rewardJudge } from './own_pairs.ts'
import { firstSteps, reportData } from './report.ts'
import { FIRST_YEAR, FULL, type Size, SMALL } from './settings.ts'
import { makeValidation, type Trained, trainDpo, trainPpo, trainReward } from './train.ts'
import { World } from './world.ts'

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`

/** The start itself is one of the checkpoints: it is kept when training cost every other one its language. */
const chosenOf = ({ chosenStep }: Trained, { FLUENT }: Size): string =>
  chosenStep === 0
    ? `the start is kept: no checkpoint won while its perplexity stayed within ${percent(FLUENT - 1)} of the start's`
    : `checkpoint ${chosenStep}`

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      device: { type: 'string', default: 'cpu' },
      seed: { type: 'string', default: '7' },
      out: { type: 'string', default: 'runs/demo' },
      policy: { type: 'string' },
      small: { type: 'boolean', default: false },
      tiny: { type: 'boolean', default: false },
      preferences: { type: 'string' },
      goodhart: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(
      [
        'npm run demo -- [options]',
        '  --goodhart     the uncleaned lexicon and no KL leash: watch the proxy win and the language collapse',
        '  --preferences FILE  your own pairs (JSONL) in place of the word ratings',
        '  --seed N       another run (default 7); the same seed and ISA give the same numbers',
        '  --small        a small policy and short texts: seconds on the cpu, minutes on a GPU in software',
        '  --tiny         seconds on any device: does everything run? It learns nothing',
        '  --device NAME  cpu (default), cuda, webgpu or auto; PREFGRAD_SOFTWARE_GPU=1 takes a GPU in software, and --small',
        '  --out DIR      where report.html and run.json go (default runs/demo)',
        '  --policy DIR   another starting policy (made by npm run pretrain)',
      ].join('\n'),
    )
    return
  }
  const seed = Number(values.seed)
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new PrefgradError('ERR_USAGE', `--seed must be a whole number, and is '${values.seed}'.`, { op: 'demo' })
  }
  const goodhart = values.goodhart === true
  const out = new Console()
  const device = await openDemoDevice(values.device)
  const size = sizeFor(device, values)
  const { PREFERENCES, DPO, EVALUATION } = size
  const world = new World(device, values.policy ?? size.POLICY_FOLDER, { raw: goodhart, size })
  const threads = device.kind === 'cpu' ? `, ${device.backend.threads} threads` : ''
  const less = size === FULL ? '' : size === SMALL ? ', small' : ', tiny'
  const why = less !== '' && !values.small && !values.tiny ? ' because this GPU is computed in software' : ''
  console.log(`prefgrad demo on ${device.name}${threads}, seed ${seed}${goodhart ? ', Goodhart' : ''}${less}${why}`)

  const train = world.prompts({ split: 'train', count: PREFERENCES.prompts, seed, from: FIRST_YEAR })
  const validation = await makeValidation(world, seed + 10)
  const own = values.preferences === undefined ? undefined : await readOwnPairs(world, values.preferences)
  const pairs = await out.stage(own === undefined ? 'sample and label pairs' : 'your pairs', async (progress) => {
    if (own !== undefined) return [own.train, own.counts]
    const samples = await world.sample(world.start, train, PREFERENCES.perPrompt, seed + 20, progress)
    const labelled = labelPairs(train, samples, world.proxy)
    const ties = labelled.filter((pair) => pair.preference === 0.5).length
    return [labelled, `${labelled.length} pairs of ${train.length} prompts, ${percent(ties / labelled.length)} ties`]
  })
  const heldOutPairs = await (async () => {
    if (own !== undefined) return own.heldOut
    const prompts = world.prompts({
      split: 'validation',
      count: PREFERENCES.heldOutPrompts,
      seed: seed + 1,
      from: FIRST_YEAR,
    })
    return labelPairs(prompts, await world.sample(world.start, prompts, PREFERENCES.perPrompt, seed + 21), world.proxy)
  })()
  const rewardModel = await out.stage('reward model', async (progress) => {
    const { model, curve } = await trainReward(world, pairs, seed, progress)
    const evaluation = await evaluateReward(model, heldOutPairs)
    const curveOf = calibration(evaluation.probability, evaluation.preference)
    const accuracy = wilsonInterval(evaluation.accuracy * evaluation.decided, evaluation.decided)
    return [
      { model, curve, accuracy, calibration: curveOf },
      `held-out accuracy ${percent(evaluation.accuracy)} of ${evaluation.decided} pairs, calibration error ${curveOf.expectedError.toFixed(3)}`,
    ]
  })
  if (own !== undefined) {
    world.proxy = rewardJudge(world, rewardModel.model)
    world.gold = undefined
  }
  const ppo = await out.stage(goodhart ? 'PPO without a leash' : 'PPO', async (progress) => {
    const trained = await trainPpo(world, rewardModel.model, train, validation, { seed, goodhart, progress })
    const last = trained.checkpoints[trained.checkpoints.length - 1]
    return [
      trained,
      `KL ${last.kl.toFixed(1)} nats, validation win rate ${percent(last.proxy ?? 0)}, ${chosenOf(trained, size)}`,
    ]
  })
  const dpo = goodhart
    ? undefined
    : await out.stage('DPO', async (progress) => {
        const chosen = decidedPairs(pairs, (PREFERENCES.perPrompt * (PREFERENCES.perPrompt - 1)) / 2, DPO.pairs).map(
          turned,
        )
        const trained = await trainDpo(world, rewardModel.model, chosen, validation, { seed, progress })
        const last = trained.checkpoints[trained.checkpoints.length - 1]
        return [
          trained,
          `${chosen.length} pairs, KL ${last.kl.toFixed(1)} nats, validation win rate ${percent(last.proxy ?? 0)}, ${chosenOf(trained, size)}`,
        ]
      })

  const evaluation = await out.stage('evaluation', async (progress) => {
    const modern = world.prompts({ split: 'heldOut', count: EVALUATION.prompts, seed: seed + 2, from: FIRST_YEAR })
    const old = world.prompts({
      split: 'heldOut',
      count: EVALUATION.oldPrompts,
      seed: seed + 3,
      to: EVALUATION.lastOldYear,
    })
    const policies = [
      { name: 'start', policy: world.start },
      { name: 'PPO', policy: ppo.policy },
      ...(dpo === undefined ? [] : [{ name: 'DPO', policy: dpo.policy }]),
    ]
    const rows = []
    const samples = new Map<string, Awaited<ReturnType<World['sample']>>>()
    const total = 2 * (policies.length + 1)
    for (const [slice, prompts] of [
      [`${modern.length} held-out prompts after ${FIRST_YEAR - 1}`, modern],
      [`${old.length} held-out prompts of the 19th century`, old],
    ] as const) {
      const baseline = await world.sample(world.start, prompts, EVALUATION.perPrompt, seed + 30)
      for (const [i, { name, policy }] of policies.entries()) {
        // The start's own row is A against A: other samples of the same policy.
        const own = await world.sample(policy, prompts, EVALUATION.perPrompt, seed + 40 + i)
        if (prompts === modern) samples.set(name, own)
        rows.push(
          await evaluationRow(
            world,
            name === 'start' ? 'start (A/A)' : name,
            slice,
            policy,
            prompts,
            own,
            baseline,
            seed,
          ),
        )
        progress(rows.length, total)
      }
      if (prompts === modern) samples.set('baseline', baseline)
    }
    const before = await perplexity(world, world.start, 'heldOut')
    const perplexities: Record<string, number> = {}
    for (const { name, policy } of policies) perplexities[name] = await perplexity(world, policy, 'heldOut')
    return [{ rows, modern, samples, before, perplexities }, `${rows.length} rows`]
  })

  for (const row of evaluation.rows.slice(0, dpo === undefined ? 2 : 3)) {
    const text = (rate: NonNullable<typeof row.proxy>): string =>
      `${percent(rate.tiesHalf.value)} [${percent(rate.tiesHalf.low)}, ${percent(rate.tiesHalf.high)}]`
    console.log(
      `  ${row.policy.padEnd(12)} proxy ${text(row.proxy!)}${row.gold === undefined ? '' : `  gold ${text(row.gold)}`}  KL ${row.kl?.toFixed(1)}`,
    )
  }
  for (const [name, value] of Object.entries(evaluation.perplexities)) {
    console.log(
      `  perplexity of ${name} on real text: ${value.toFixed(2)} (${value >= evaluation.before ? '+' : ''}${percent(value / evaluation.before - 1)})`,
    )
  }

  for (const [name, values] of Object.entries(firstSteps({ rewardModel, ppo, dpo }))) {
    console.log(`  first steps, ${name}: ${values.map((x) => x.toPrecision(6)).join('  ')}`)
  }

  const { data, card } = reportData({
    world,
    seed,
    goodhart,
    rewardModel,
    ppo,
    dpo,
    evaluation,
    phases: out.phases,
    ownPairs: own,
    seconds: out.seconds,
    pairs: pairs.length,
  })
  mkdirSync(values.out, { recursive: true })
  const report = join(values.out, 'report.html')
  writeFileSync(report, renderReport(data))
  writeFileSync(join(values.out, 'run.json'), `${JSON.stringify(card, null, 2)}\n`)
  console.log(`${out.seconds.toFixed(0)} s in all. Open ${report}`)
}

main().catch((error: unknown) => {
  if (error instanceof PrefgradError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) {
    console.error(`demo: ${(error as Error).message}`)
    process.exit(1)
  }
  throw error
})
