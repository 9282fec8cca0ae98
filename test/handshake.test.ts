/** A library whose addon is missing, or was built from another table, says so and what to do; it never runs a wrong kernel. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './root.ts'

/** What a copy of the compiled library says when it is used. */
const said = (change: (folder: string) => void): { code: string; message: string; why: string; auto: string } => {
  const folder = mkdtempSync(join(tmpdir(), 'prefgrad-handshake-'))
  try {
    for (const part of ['lib', 'kernels']) {
      cpSync(join(root, 'dist', part), join(folder, 'dist', part), { recursive: true })
    }
    writeFileSync(join(folder, 'package.json'), readFileSync(join(root, 'package.json')))
    change(folder)
    const code = `
      import { gradNorm, inspect, openDevice } from './dist/lib/index.js'
      const { devices } = await inspect()
      const { why } = devices.find((device) => device.name === 'cpu')
      const auto = await openDevice().catch((error) => error.code)
      try { gradNorm({ grad: new Float32Array(4) }) }
      catch ({ code, message }) { console.log(JSON.stringify({ code, message, why, auto })) }
    `
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', code], { cwd: folder, encoding: 'utf8' })
    assert.equal(run.stderr, '')
    return JSON.parse(run.stdout)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const withAddon = (folder: string): void => {
  mkdirSync(join(folder, 'build'))
  symlinkSync(join(root, 'build/Release'), join(folder, 'build/Release'))
}

test('without an addon the error names the places that were tried and the command that builds it', () => {
  const { code, message, why, auto } = said(() => {})
  assert.equal(code, 'ERR_ADDON')
  assert.match(message, /could not be loaded \(.*build\/Release\/prefgrad\.node: .*\)\. Run `npm run build`/)
  assert.equal(why, message)
  assert.equal(auto, 'ERR_NO_DEVICE')
})

test('an addon of another table is refused at load, with every difference', () => {
  const { code, message, auto } = said((folder) => {
    withAddon(folder)
    const path = join(folder, 'dist/lib/spec/optimizer.js')
    const rows = readFileSync(path, 'utf8')
    const changed = rows
      .replace("name: 'partials'", "name: 'pieces'")
      .replace('outputs: { norm:', 'outputs: { more: { shape: [1], doc: "." }, norm:')
    assert.notEqual(changed, rows)
    writeFileSync(path, changed)
  })
  assert.equal(code, 'ERR_ADDON')
  assert.match(message, /is not of this version: /)
  for (const difference of [
    'the addon has no gradNorm.pieces.f32',
    'gradNorm.finish.f32 takes 2 words and 4 pointers, and the table has 2 and 5',
    'the table has no gradNorm.partials.f32',
  ]) {
    assert.ok(message.includes(difference), message)
  }
  assert.equal(auto, 'ERR_NO_DEVICE')
})

test('a copy of the library with its addon works wherever it lies', () => {
  const folder = mkdtempSync(join(tmpdir(), 'prefgrad-copy-'))
  try {
    for (const part of ['lib', 'kernels']) {
      cpSync(join(root, 'dist', part), join(folder, 'dist', part), { recursive: true })
    }
    withAddon(folder)
    const code = `import { gradNorm } from './dist/lib/index.js'; console.log(gradNorm({ grad: Float32Array.of(3, 4) }).norm.item())`
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', code], { cwd: folder, encoding: 'utf8' })
    assert.equal(`${run.stderr}${run.stdout}`, '5\n')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
