/** What a run says in the end: losses, noise, the report, and which device is meant. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { families } from '../bench/cases/index.ts'
import { cudaWords, readCommand } from '../bench/command.ts'
import { AGAIN, markNoise, withAgain } from '../bench/noise.ts'
import { caseText } from '../bench/report.ts'
import { type FullResults, fileName, kindOf, readKept } from '../bench/results.ts'
import { resultsMarkdown } from '../bench/results_markdown.ts'
import { lossSentences, summaryTable } from '../bench/results_summary.ts'
import { judgeTax, type TaxResult, taxSentence, taxTable } from '../bench/tax.ts'
import type { CaseResult, Environment, Row } from '../bench/types.ts'
import { cutDown } from '../bench/webgpu.ts'
import { refusal } from './worked.ts'

const row = (peer: string, min: number, ratio: number, more: Partial<Row> = {}): Row => ({
  ...{ implementation: peer, peer, threads: 1, samples: 9, calls: 1, min, median: min, p20: min, p80: min, rate: 1 },
  ratio,
  ...more,
})

const caseOf = (rows: Row[], more: Partial<CaseResult> = {}): CaseResult => ({
  ...{ op: 'linear', shape: '8x8x8', dtype: 'f32', isa: 'avx2', unit: 'GFLOP/s', amount: 1, rows, goals: [] },
  ...more,
})

const environment: Environment = {
  ...{ date: '2026-01-31T10:00:00.000Z', command: 'npm run bench -- --save', cpu: 'x', cores: 2, memoryGiB: 1 },
  ...{
    load: [0, 0, 0],
    platform: 'linux-x64',
    node: 'v20',
    version: '1',
    commit: 'abc',
    device: 'cpu:avx2',
    isas: ['avx2'],
  },
}
const resultsOf = (cases: CaseResult[], more: Partial<FullResults> = {}): FullResults => ({
  ...{ schema: 1, environment, ceilings: [], peers: [], missing: [], cases },
  ...more,
})

const command = (...words: string[]) => readCommand(words, families, ['torch'])

describe('bench results', () => {
  test('who is faster than prefgrad is named, once a case, unless it may be chance, a failure, or prefgrad itself', () => {
    const own = row('prefgrad', 10, 1)
    const lost = caseOf([own, row('numpy', 9, 0.9), row('torch', 8, 0.8), row('onnx', 1, 0.1, { failed: 'wrong' })])
    assert.deepEqual(lossSentences([lost]), ['`linear` at 8x8x8 f32, avx2, 1 thread: torch is 1.25 times as fast.'])
    const none = [
      caseOf([own, row('numpy', 11, 1.1)]),
      caseOf([own, row('numpy', 9.9, 0.99, { withinNoise: true })]),
      caseOf([own, row('prefgrad', 9, 0.9, { implementation: AGAIN })]),
    ]
    assert.deepEqual(lossSentences(none), [])
    assert.match(lossSentences([{ ...lost, isOverhead: true }])[0], /1\.25 times as fast \(call overhead\)\.$/)
  })

  test('what differs less from prefgrad than prefgrad from itself is marked, at its own number of threads', () => {
    const rows = [
      row('prefgrad', 10, 1),
      row('near', 10.9, 1.09),
      row('far', 12, 1.2),
      row('prefgrad', 11, 1.1, { implementation: AGAIN }),
      row('prefgrad', 10, 1, { threads: 2 }),
      row('near', 10.9, 1.09, { threads: 2 }),
    ]
    assert.deepEqual(
      markNoise(rows).map(({ withinNoise = false }) => withinNoise),
      [false, true, false, true, false, false],
    )
  })

  test('prefgrad runs once more at the end, judged and let go of once', () => {
    const sample = async () => 1
    const first = { name: 'prefgrad, prepared', peer: 'prefgrad', sample, dispose: async () => {} }
    const all = withAgain([first, { name: 'b', peer: 'prefgrad', sample }])
    assert.deepEqual(
      all.map(({ name }) => name),
      ['prefgrad, prepared', 'b', AGAIN],
    )
    assert.equal(all[2].dispose, undefined)
    assert.deepEqual(withAgain([]), [])
  })

  test('ratios of small cases are labelled call overhead, in the table, the summary and the terminal', () => {
    const rows = [row('prefgrad', 0.001, 1), row('torch', 0.02, 20)]
    const small = caseOf(rows, { isOverhead: true })
    assert.match(caseText(small), /call overhead, vs prefgrad/)
    assert.deepEqual(summaryTable([small, caseOf(rows)]), [
      ['case', 'threads', 'prefgrad', 'of ceiling', 'torch'],
      ['linear 8x8x8 f32, avx2 (call overhead)', '1', '1 µs', '', '20.00x'],
      ['linear 8x8x8 f32, avx2', '1', '1 µs', '', '20.00x'],
    ])
  })

  test('the tax is the difference to the C++ runs of the same round, and what is less than theirs is no difference', () => {
    const native = [1, 2, 3].map((ms) => [ms, ms + 0.002] as const)
    const judged = judgeTax(native, [{ way: 'slow', times: [1.041, 2.041, 3.041] }], 4)
    assert.ok(Math.abs(judged.native - 2001) < 1e-6)
    assert.ok(Math.abs(judged.noise - 0.5) < 1e-6)
    assert.ok(Math.abs(judged.ways[0].perCall - 10) < 1e-6)
    assert.ok(Math.abs(judged.ways[0].share - 40 / 2001) < 1e-9)
    const result: TaxResult = { step: 's', calls: ['a', 'b', 'c', 'd'], threads: 1, steps: 3, rounds: 3, ...judged }
    assert.match(taxSentence(result), /^met: at most 5 % more/)
    assert.equal(taxTable(result)[2][4], '+10.000')
    const [way] = judged.ways
    assert.match(taxSentence({ ...result, ways: [{ ...way, perCall: 60 }] }), /^MISSED: at most 5 %/)
    // Steps below 200 us are judged by microseconds: 40 of them are too many.
    assert.match(taxSentence({ ...result, native: 100 }), /^MISSED: at most 15 us/)
    assert.equal(taxTable({ ...result, noise: 11 })[2][4], '~+10.000')
    // 40 us more, 100 are allowed, and the noise is 4 x 16.
    assert.match(taxSentence({ ...result, noise: 16 }), /^NOT TOLD/)
  })

  test('parts are chosen by their options, and --save measures all of them', () => {
    assert.deepEqual(command().parts, ['cases'])
    assert.deepEqual(command('--growth').parts, ['growth'])
    assert.deepEqual(command('--tax', '--plots', 'x').parts, ['growth', 'tax'])
    assert.deepEqual(command('--save').parts, ['cases', 'growth', 'tax'])
    assert.deepEqual(command('--device', 'webgpu', '--save').parts, ['cases'])
  })

  test('only the representative set is ended by the clock, unless a time is given', () => {
    assert.equal(command().seconds, 220)
    for (const words of [['--all'], ['--save'], ['--op', 'gae']]) assert.equal(command(...words).seconds, Infinity)
    assert.equal(command('--op', 'gae', '--seconds', '7').seconds, 7)
    assert.throws(() => command('--seconds', '0'), refusal('ERR_USAGE', 'seconds'))
  })

  test('a device is told what it understands, and cuda gets its own bench', () => {
    assert.equal(command('--device=webgpu', '--software').software, true)
    assert.throws(() => command('--device', 'wgpu'), refusal('ERR_USAGE', 'device'))
    assert.throws(() => command('--software'), refusal('ERR_USAGE', 'software'))
    assert.throws(() => command('--device', 'webgpu', '--tax'), refusal('ERR_USAGE', 'tax'))
    assert.throws(() => command('--device', 'webgpu', '--threads', '2'), refusal('ERR_USAGE', 'threads'))
    assert.equal(cudaWords(['--op', 'gae', '--device', 'webgpu'], 'r'), undefined)
    assert.equal(cudaWords(['--op', 'gae'], 'r'), undefined)
    assert.deepEqual(cudaWords(['--device', 'cuda', '--save'], 'r'), ['--device', 'cuda', '--results', 'r'])
    assert.deepEqual(cudaWords(['--device=cuda:emulated'], 'r'), ['--device=cuda:emulated'])
  })

  test('shapes are cut down along their longest sides', () => {
    assert.deepEqual(cutDown([512, 128256], 2 ** 20), [512, 2004])
    assert.deepEqual(cutDown([8], 100), [8])
  })

  test('a report is made of the newest results of each device, of CPUs the newest first', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bench-results-'))
    try {
      const keep = (results: FullResults): void => {
        writeFileSync(join(folder, fileName(results.environment)), JSON.stringify(results))
      }
      const one = [caseOf([row('prefgrad', 1, 1), row('torch', 0.5, 0.5)])]
      keep(resultsOf([], { environment: { ...environment, date: '2025-12-01T00:00:00.000Z' } }))
      keep(resultsOf(one))
      keep(
        resultsOf([], { environment: { ...environment, device: 'webgpu:Some GPU (TM)' }, clock: 'timestamp queries' }),
      )
      const wider = { ...environment, device: 'cpu:avx512', isas: ['avx512', 'avx2'], date: '2025-11-01T00:00:00.000Z' }
      keep(resultsOf([], { environment: wider }))
      const kept = await readKept(folder)
      assert.deepEqual(
        kept.cpus.map(({ name }) => name),
        ['2026-01-31-cpu-avx2.json', '2025-11-01-cpu-avx512.json'],
      )
      assert.equal(kept.webgpu?.name, '2026-01-31-webgpu-some-gpu-tm.json')
      assert.equal(kept.cuda, undefined)
      const text = resultsMarkdown(kept)
      assert.match(
        text,
        /\n## Where prefgrad loses\n\n- `linear` at 8x8x8 f32, avx2, 1 thread: torch is 2\.00 times as fast\./,
      )
      assert.match(text, /\n## On a CPU with avx512\n[^#]*\n### Where prefgrad loses\n\nAgainst nobody in this run\.\n/)
      assert.match(text, /## webgpu:Some GPU \(TM\)\n[^#]*timed by timestamp queries/)
      assert.ok(!text.includes('How cost grows') && !text.includes('What TypeScript costs'))
    } finally {
      rmSync(folder, { recursive: true })
    }
    assert.deepEqual(['cpu:avx2', 'webgpu:x', 'cuda:NVIDIA H200'].map(kindOf), ['cpu', 'webgpu', 'cuda'])
  })
})
