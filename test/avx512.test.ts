/**
 * The kernels for AVX-512 on processors without it: in AVX2 instructions (native/avx512_in_avx2.h), against the float64 references
 * and in the bits of the kernels for AVX2. Where the processor has AVX-512, the conformance suite itself runs them.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './root.ts'
import { isas } from './run_op.ts'

interface BuildScript {
  missingForAvx512(isas: readonly string[]): string | undefined
  buildAvx512(): Promise<string>
}

const build: BuildScript = await import(join(root, 'scripts/avx512.js'))

if (!isas.includes('avx512')) {
  test('kernels for AVX-512 conform in AVX2 instructions', { skip: build.missingForAvx512(isas) }, async () => {
    const env = { ...process.env, NODE_TEST_CONTEXT: '', PREFGRAD_ADDON: await build.buildAvx512() }
    const inspected = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', `console.log((await (await import('prefgrad')).inspect()).cpu.isas.join())`],
      { cwd: root, encoding: 'utf8', env },
    )
    assert.equal(inspected.stdout.trim(), ['avx512', ...isas].join(), inspected.stderr)
    for (const name of ['conformance', 'conformance_random']) {
      const file = join(root, 'dist/test', `${name}.test.js`)
      const { status, stdout } = spawnSync(process.execPath, [file], { encoding: 'utf8', env, maxBuffer: 1 << 28 })
      assert.equal(status, 0, stdout.slice(-8000))
      assert.match(stdout, /# pass [1-9]/)
    }
  })
}
