/** The GPU bench on the emulator: that it runs, judges and reports; not how fast anything is. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { planAll } from '../bench/gpu/cases/index.ts'
import { readCommand } from '../bench/gpu/command.ts'
import { rowsOf, upload, wholeOf } from '../bench/gpu/data.ts'
import { goalText, judgeGoals } from '../bench/gpu/goals.ts'
import { compareRows } from '../bench/gpu/measure.ts'
import { caseText, goalLines } from '../bench/gpu/report.ts'
import { runGpuBench } from '../bench/gpu/run.ts'
import type { CaseResult, Goal, Input, Results, Row } from '../bench/gpu/types.ts'
import { summarize } from '../bench/statistics.ts'
import { openDevice } from '../lib/index.ts'
import { cudaDevices } from './cuda_world.ts'
import { refusal } from './worked.ts'

const emulated = { skip: (await cudaDevices()).includes('cuda:emulated') ? false : 'the emulator is not built' }

const rowWith = (times: Partial<Record<string, number>>, more: Partial<Row> = {}): Row => ({
  implementation: 'prefgrad',
  peer: 'prefgrad',
  times: Object.fromEntries(
    Object.entries(times).map(([measure, ms]) => [measure, { samples: 1, ...summarize([ms!]) }]),
  ),
  ...more,
})

describe('gpu bench', () => {
  test('a tiny run on the emulator measures and judges every case, and is marked as emulated', emulated, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gpu-bench-test-'))
    const printed: string[] = []
    try {
      const json = join(folder, 'results.json')
      const words = '--device cuda:emulated --scale tiny --peers none --samples 1 --json'
      await runGpuBench([...words.split(' '), json], (text) => printed.push(text))
      const { environment, cases, ceilings, left }: Results = JSON.parse(readFileSync(json, 'utf8'))
      assert.equal(environment.emulated, true)
      assert.equal(environment.device, 'cuda:emulated')
      assert.deepEqual(left, [])
      assert.deepEqual(ceilings.map(({ name }) => name).sort(), ['copy', 'read'])
      using cpu = await openDevice('cpu')
      assert.equal(cases.length, planAll(cpu, 'tiny').length)
      for (const { op, rows, noise, skipped } of cases) {
        assert.equal(skipped, undefined, op)
        assert.ok(noise !== undefined && noise >= 0, op)
        assert.deepEqual(
          rows.filter(({ failed }) => failed !== undefined),
          [],
        )
        const [own, again] = rows
        assert.deepEqual([own.implementation, again.implementation], ['prefgrad', 'prefgrad, again'])
        assert.deepEqual([own.ratio, own.times.cold?.samples], [1, 1], op)
        assert.ok(own.maxError !== undefined && own.maxError < 1e-2, `${op}: ${own.maxError}`)
        for (const measure of ['cold', 'full', 'enqueue'] as const) assert.ok(own.times[measure]!.median > 0)
      }
      const text = printed.join('\n')
      assert.match(text, /EMULATED/)
      assert.match(text, /tokenLogprobs \[4x300\] bf16/)
      assert.match(text, /prefgrad, in place/)
      assert.match(text, /prefgrad, op by op/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('every case of a full run can be told by its name, those of the goals first', async () => {
    using cpu = await openDevice('cpu')
    const names = planAll(cpu, 'full').map(({ op, shape, dtype }) => `${op} ${shape} ${dtype}`)
    assert.equal(new Set(names).size, names.length)
    assert.equal(names[0], 'tokenLogprobs 8192x128256 bf16')
    for (const wanted of ['gae 64x32768 f32', 'adamw 1000000000 f32', 'dpoLossStep 64x2048x32000 bf16']) {
      assert.ok(names.indexOf(wanted) >= 0 && names.indexOf(wanted) < names.length / 3, wanted)
    }
  })

  test('a tensor repeats its block, and its rows are found there', async () => {
    using cpu = await openDevice('cpu')
    const input: Input = { dtype: 'f32', shape: [3, 4], block: Float32Array.of(1, 2, 3, 4, 5) }
    assert.deepEqual([...(await upload(cpu, input).read())], [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2])
    assert.deepEqual([...wholeOf(input).data], [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2])
    assert.deepEqual(rowsOf(input, [2, 1]), {
      data: Float32Array.of(4, 5, 1, 2, 5, 1, 2, 3),
      shape: [2, 4],
      dtype: 'f32',
    })
  })

  test('goals are met or not by what they name, and not measured where that is missing', () => {
    const judge = (goal: Goal, row: Row) => judgeGoals([goal], row, (name) => (name === 'even' ? 100 : undefined))[0]
    const atMost: Goal = { of: 'time', measure: 'cold', atMost: 0.5 }
    assert.equal(judge(atMost, rowWith({ cold: 0.5 })).met, true)
    assert.equal(judge(atMost, rowWith({ cold: 0.51 })).met, false)
    assert.equal(judge(atMost, rowWith({ warm: 0.1 })).met, undefined)
    assert.equal(judge(atMost, rowWith({ cold: 0.1 }, { failed: 'wrong result' })).met, undefined)
    assert.equal(judge({ of: 'rate', atLeast: 10 }, rowWith({}, { rate: 9 })).met, false)
    const odd: Goal = { of: 'case', other: 'even', atLeast: 0.98 }
    assert.equal(judge(odd, rowWith({}, { rate: 98 })).met, true)
    assert.equal(judge({ ...odd, other: 'unknown' }, rowWith({}, { rate: 98 })).met, undefined)
    const overhead: Goal = { of: 'overhead', atMost: 0.05 }
    assert.equal(judge(overhead, rowWith({ cold: 1, full: 1.04 })).met, true)
    assert.equal(judge(overhead, rowWith({ cold: 1, full: 1.06 })).met, false)
    assert.equal(goalText(judge(atMost, rowWith({ cold: 0.6 }))), 'NOT MET: cold at most 0.5 ms: 0.6 ms')
    assert.equal(
      goalText(judge(overhead, rowWith({ cold: 1, full: 1.5 }))),
      'NOT MET: a whole call at most 5.0 % longer: 50.0 %',
    )
    assert.equal(goalText(judge(atMost, rowWith({}))), 'not measured: cold at most 0.5 ms')
  })

  test('what differs less than prefgrad does from itself, or overlaps with it, is marked', () => {
    const rows = [1, 1.1, 1.09, 0.92, 1.12, 2].map((cold) => rowWith({ cold }))
    rows[5].failed = 'wrong result'
    // |1.1 - 1| = 0.1: 1.09 and 0.92 are nearer to 1, 1.12 is not.
    assert.equal(Number(compareRows(rows)!.toFixed(9)), 0.1)
    const marks = rows.map(({ ratio, withinNoise = false }) => [ratio, withinNoise])
    assert.deepEqual(marks.slice(2), [
      [1.09, true],
      [0.92, true],
      [1.12, false],
      [undefined, false],
    ])
    const wide = { ...rowWith({}), times: { cold: { samples: 5, ...summarize([0.9, 1.1, 1.3, 1.5, 1.7]) } } }
    const close = [rowWith({ cold: 1 }), rowWith({ cold: 1 }), wide, rowWith({ cold: 1.01 })]
    assert.equal(compareRows(close), 0)
    // p20 to p80 of the third: 1.06 to 1.54, beside 1.
    assert.deepEqual(
      close.slice(2).map(({ withinNoise }) => withinNoise),
      [false, false],
    )
    const spread = [{ ...wide }, { ...wide }, rowWith({ cold: 1.5 })]
    compareRows(spread)
    assert.equal(spread[2].withinNoise, true)
    const shown = { op: 'gae', shape: '4x8', dtype: 'f32', bytes: 1, unit: 'GB/s', ceiling: 'copy' } as const
    const text = caseText({ ...shown, goals: [], rows: rows.slice(0, 5) })
    assert.match(text, /~1\.09x/)
    assert.match(text, / 1\.12x/)
    assert.equal(compareRows([rowWith({})]), undefined)
  })

  test('what failed and what was left out is said', () => {
    const result: CaseResult = {
      ...{ op: 'gae', shape: '3x4', dtype: 'f32', bytes: 1, unit: 'GB/s', ceiling: 'copy', goals: [] },
      rows: [rowWith({ cold: 2 }, { rate: 1 }), { ...rowWith({}), implementation: 'torch loop', failed: 'no memory' }],
    }
    assert.match(caseText(result), /torch loop: no memory/)
    assert.match(caseText({ ...result, rows: [], skipped: 'no kernel' }), /^gae \[3x4\] f32: left out, no kernel/)
    const environment = { device: 'cuda:NVIDIA A100' } as Results['environment']
    const lines = goalLines({
      schema: 1,
      environment,
      ceilings: [],
      peers: [],
      cases: [result],
      left: ['gae [9x9] f32'],
    })
    assert.match(lines.join('\n'), /H200, which this is not/)
    assert.match(lines.join('\n'), /time was up: gae \[9x9\] f32/)
  })

  test('words that mean nothing are refused, and results of the emulator are not kept', () => {
    const command = (...words: string[]) => readCommand(words)
    assert.throws(() => command('--device', 'cpu'), refusal('ERR_USAGE', 'device'))
    assert.throws(() => command('--scale', 'huge'), refusal('ERR_USAGE', 'scale'))
    assert.throws(() => command('--samples', '0'), refusal('ERR_USAGE', 'samples'))
    assert.throws(() => command('--sample', '3'), refusal('ERR_USAGE', 'command'))
    assert.throws(() => command('--device', 'cuda:emulated', '--results', 'x'), refusal('ERR_USAGE', 'results'))
    assert.deepEqual(command('--op', 'gae,adamw').ops, ['gae', 'adamw'])
  })
})
