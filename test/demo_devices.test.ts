/** The whole demo at its tiny setting: on CUDA's emulator it comes to the same first figures as on the cpu device. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { cudaDevices } from './cuda_world.ts'
import { root } from './root.ts'

const skip = (await cudaDevices()).includes('cuda:emulated') ? false : 'the emulator is not built'

const runDemo = (...words: string[]) =>
  spawnSync(process.execPath, [join(root, 'dist/demo/run.js'), ...words], { encoding: 'utf8' })

test('the demo runs to its report on cuda:emulated, with the first figures of the cpu', { skip }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'prefgrad-demo-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const firstSteps = (device: string): Record<string, number[]> => {
    const out = join(folder, device.replace(':', '-'))
    const { status, stdout, stderr } = runDemo('--tiny', '--device', device, '--out', out)
    assert.equal(status, 0, stdout + stderr)
    assert.match(stdout, new RegExp(`^prefgrad demo on ${device}`))
    assert.match(readFileSync(join(out, 'report.html'), 'utf8'), /<svg/)
    return JSON.parse(readFileSync(join(out, 'run.json'), 'utf8')).firstSteps
  }
  const cpu = firstSteps('cpu')
  const emulated = firstSteps('cuda:emulated')
  assert.deepEqual(Object.keys(emulated), Object.keys(cpu))
  assert.ok(Object.keys(cpu).length >= 5)
  for (const [what, [first, second]] of Object.entries(cpu)) {
    const [near, then] = emulated[what]
    assert.ok(
      Math.abs(near - first) <= 1e-4 * Math.max(1, Math.abs(first)),
      `${what}: ${near}, and ${first} on the cpu`,
    )
    // What was learned from the first step has gone into the second.
    assert.ok(
      Math.abs(then - second) <= 2e-3 * Math.max(1, Math.abs(second)),
      `${what}: ${then}, and ${second} on the cpu`,
    )
  }
})

test('a device that is not there is refused in one sentence', () => {
  const { status, stdout, stderr } = runDemo('--tiny', '--device', 'cuda:none')
  assert.equal(status, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /^demo: there is no device 'cuda:none'\. Use one of /)
  assert.equal(stderr.trim().split('\n').length, 1)
})
