/** The emulator is tested itself: by its own program, and by real kernels with one mistake each, which must all be found. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { build, runSuite } from './cuda_build.ts'
import { MUTANTS, type Mutant } from './cuda_mutants.ts'
import { cudaDevices } from './cuda_world.ts'
import { root } from './root.ts'

const skip = (await cudaDevices()).includes('cuda:emulated') ? false : 'the emulator is not built'

test('every primitive does what CUDA says, and every misuse is found, under every schedule', { skip }, () => {
  const { status, stdout } = spawnSync(join(root, 'build/emulator/emulator_test'), { encoding: 'utf8' })
  assert.equal(status, 0, stdout)
  assert.match(stdout, /^ok - /)
})

const folder = join(root, 'build/mutants')

/** A tree with the common headers and one op's folder, one line of which is wrong. */
const plant = ({ file, find, put, folder: op }: Mutant): void => {
  rmSync(join(folder, 'kernels'), { recursive: true, force: true })
  mkdirSync(join(folder, 'kernels'), { recursive: true })
  for (const name of ['common', op]) {
    // Only what changed is compiled again.
    cpSync(join(root, 'kernels', name), join(folder, 'kernels', name), { recursive: true, preserveTimestamps: true })
  }
  const path = join(folder, 'kernels', file)
  const text = readFileSync(path, 'utf8')
  assert.equal(text.split(find).length - 1, 1, `${file} must hold exactly once: ${find}`)
  writeFileSync(path, text.replace(find, put))
}

test('real kernels with one mistake each: all are caught', { skip }, async () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  symlinkSync(join(root, 'native'), join(folder, 'native'))
  const escaped: string[] = []
  for (const mutant of MUTANTS) {
    plant(mutant)
    const emulator = await build.buildEmulator(`mutants/${mutant.folder}`, { kernels: join(folder, 'kernels') })
    const pattern = `--test-name-pattern=\\b(${mutant.ops.join('|')})\\b.* on cuda:emulated`
    const { status, output } = runSuite(`${mutant.suite ?? 'cuda_conformance'}.test.js`, emulator, {}, [pattern])
    assert.doesNotMatch(output, /CUDA_ERROR_NOT_FOUND/, 'the mutant has all kernels that the op needs')
    if (status === 0) escaped.push(`${mutant.file}: ${mutant.what}`)
  }
  assert.deepEqual(escaped, [])
})
