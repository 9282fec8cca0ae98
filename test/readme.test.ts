import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { root } from './root.ts'

const readme = readFileSync(join(root, 'README.md'), 'utf8')

test('the example of the README prints what the README says', () => {
  const [, code, output] = /```ts\n(import \{ bradleyTerryLoss[\s\S]*?)```\s+```\n([\s\S]*?)```/.exec(readme)!
  const folder = mkdtempSync(join(tmpdir(), 'prefgrad-readme-'))
  try {
    const library = pathToFileURL(join(root, 'dist/lib/index.js')).href
    writeFileSync(join(folder, 'example.mjs'), code.replace("'prefgrad'", `'${library}'`))
    const result = spawnSync(process.execPath, [join(folder, 'example.mjs')], { encoding: 'utf8' })
    assert.equal(result.stderr, '')
    assert.equal(result.stdout, output)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('the op table of the README is the op table', async () => {
  const { opTable } = await import(pathToFileURL(join(root, 'scripts/op_table.js')).href)
  for (const line of opTable() as string[]) assert.ok(readme.includes(line), `README.md lacks: ${line}`)
})
