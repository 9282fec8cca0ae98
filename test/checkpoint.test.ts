import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { PrefgradError } from '../lib/errors.ts'
import { readSafetensors } from '../lib/model/safetensors.ts'
import { Random } from '../lib/random.ts'
import { type AtomicFileSystem, writeFileAtomic } from '../lib/train/atomic.ts'
import { loadCheckpoint, loadLatestCheckpoint, saveCheckpoint } from '../lib/train/checkpoint.ts'
import { exactJson } from '../lib/train/exact_json.ts'
import { contentOf } from './checkpoint_content.ts'

const root = mkdtempSync(join(tmpdir(), 'prefgrad-checkpoint-'))
after(() => rmSync(root, { recursive: true, force: true }))
let folders = 0
const newFolder = () => join(root, `run-${folders++}`)

const nameOf = (step: number) => `step-${String(step).padStart(8, '0')}.ckpt.safetensors`
const small = (step: number) => contentOf(step, 4)

async function assertHolds(folder: string, step: number, elements?: number, layers?: number): Promise<void> {
  const found = await loadLatestCheckpoint(folder)
  assert.equal(found?.step, step)
  const { tensors, state } = contentOf(step, elements, layers)
  assert.deepEqual(found.state, state)
  assert.deepEqual([...found.tensors.keys()].sort(), Object.keys(tensors).sort())
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const tensor = found.tensors.get(name)
    assert.deepEqual([tensor?.dtype, tensor?.shape], [dtype, shape])
    assert.ok(tensor && Buffer.from(tensor.data.buffer).equals(Buffer.from(data.buffer)), name)
  }
}

function errorWith(code: string, ...texts: (string | RegExp)[]) {
  return (error: unknown) => {
    assert.ok(error instanceof PrefgradError, String(error))
    assert.equal(error.code, code, error.message)
    for (const text of texts) {
      const found = typeof text === 'string' ? error.message.includes(text) : text.test(error.message)
      assert.ok(found, `${text} in ${error.message}`)
    }
    return true
  }
}

test('a saved checkpoint is one file and comes back exactly', async () => {
  const folder = newFolder()
  assert.equal(await loadLatestCheckpoint(folder), undefined)
  const path = await saveCheckpoint(folder, contentOf(123))
  assert.equal(path, join(folder, 'step-00000123.ckpt.safetensors'))
  assert.deepEqual(readdirSync(folder), [nameOf(123)])
  await assertHolds(folder, 123)
  assert.deepEqual((await loadLatestCheckpoint(folder))?.skipped, [])
})

test('a checkpoint is an ordinary safetensors file for other programs', async () => {
  const path = await saveCheckpoint(newFolder(), small(1))
  const { tensors, metadata } = readSafetensors(path)
  assert.deepEqual([...tensors.keys()], ['adam.step', 'layer.0', 'flags', 'checkpoint.sha256'])
  assert.deepEqual([...metadata.keys()], ['format', 'version', 'step', 'state'])
})

test('the last `keep` checkpoints stay, and later steps of another process are never deleted', async () => {
  const folder = newFolder()
  for (const step of [1, 2, 3]) await saveCheckpoint(folder, small(step))
  assert.deepEqual(readdirSync(folder), [nameOf(2), nameOf(3)])
  for (const step of [4, 5, 6]) await saveCheckpoint(folder, small(step), { keep: 3 })
  assert.deepEqual(readdirSync(folder), [nameOf(4), nameOf(5), nameOf(6)])
  await saveCheckpoint(folder, small(1), { keep: 1 })
  assert.deepEqual(readdirSync(folder), [nameOf(1), nameOf(4), nameOf(5), nameOf(6)])
  await assertHolds(folder, 6, 4)
})

test('a truncated newest checkpoint is passed over for the one before, and named', async () => {
  const folder = newFolder()
  await saveCheckpoint(folder, contentOf(7))
  const newest = await saveCheckpoint(folder, contentOf(8))
  truncateSync(newest, 100_000)
  await assertHolds(folder, 7)
  const found = await loadLatestCheckpoint(folder)
  assert.equal(found?.skipped.length, 1)
  assert.equal(found?.skipped[0].path, newest)
  assert.match(found?.skipped[0].reason ?? '', /ends at byte/)
})

test('when no checkpoint verifies, the reasons are told and nothing starts afresh silently', async () => {
  const folder = newFolder()
  const path = await saveCheckpoint(folder, small(5))
  fs.appendFileSync(path, 'x')
  await assert.rejects(loadLatestCheckpoint(folder), errorWith('ERR_CHECKPOINT', path, /last 1 bytes/))
})

test('a checkpoint under the name of another step is passed over', async () => {
  const folder = newFolder()
  await saveCheckpoint(folder, small(1))
  renameSync(await saveCheckpoint(folder, small(2)), join(folder, nameOf(9)))
  await assertHolds(folder, 1, 4)
})

test('every single flipped bit of a checkpoint is detected', async () => {
  const folder = newFolder()
  const path = await saveCheckpoint(folder, small(3))
  const good = readFileSync(path)
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bad = Buffer.from(good)
    bad[bit >> 3] ^= 1 << (bit & 7)
    fs.writeFileSync(path, bad)
    await assert.rejects(loadCheckpoint(path), PrefgradError, `bit ${bit}`)
  }
})

test('a safetensors file that is no checkpoint is refused as such', async () => {
  const path = join(newFolder(), '..', 'model.safetensors')
  fs.writeFileSync(path, Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d]))
  await assert.rejects(loadCheckpoint(path), errorWith('ERR_CHECKPOINT', /no checkpoint of prefgrad/))
  await assert.rejects(loadCheckpoint(join(root, 'missing')), errorWith('ERR_FILE', /no such file/, 'ENOENT'))
})

test('state that JSON would change is refused before anything is written', async () => {
  const folder = newFolder()
  for (const [value, path] of [
    [{ a: [1, Number.NaN] }, 'state.a[1]'],
    [{ b: { c: Infinity } }, 'state.b.c'],
    [{ d: new Float32Array(2) }, 'state.d is a Float32Array'],
    [{ e: 3n }, 'state.e is bigint 3'],
    [{ f: [undefined] }, 'state.f[0]'],
    [{ g: new Map() }, 'state.g is a Map'],
  ] as [Record<string, unknown>, string][]) {
    await assert.rejects(saveCheckpoint(folder, { ...small(1), state: value }), errorWith('ERR_ARGUMENT', path))
  }
  for (const step of [-1, 1.5, Number.NaN]) {
    await assert.rejects(saveCheckpoint(folder, { ...small(1), step }), errorWith('ERR_OPTION', 'step'))
  }
  await assert.rejects(saveCheckpoint(folder, small(1), { keep: 0 }), errorWith('ERR_OPTION', 'keep'))
  assert.equal(existsSync(folder), false)
})

test('exactJson is undone by JSON.parse, down to the sign of zero', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      assert.deepEqual(JSON.parse(exactJson(value, 'value')), value)
    }),
  )
  assert.ok(Object.is(JSON.parse(exactJson([-0], 'value'))[0], -0))
  assert.equal(exactJson({ kept: 1, absent: undefined }, 'value'), '{"kept":1}')
})

/** `node:fs`, with a look at every call and the chance to fail in its place. */
function observed(before: (call: string, args: unknown[]) => void): AtomicFileSystem {
  return new Proxy(fs, {
    get: (target, name: keyof AtomicFileSystem) => {
      return (...args: unknown[]) => {
        before(name, args)
        return (target[name] as (...args: unknown[]) => unknown)(...args)
      }
    },
  })
}

const failure = (code: string, syscall: string) => Object.assign(new Error(`${code}: injected`), { code, syscall })

test('the data is synced before the rename, and the folder after it', async () => {
  const calls: string[] = []
  const folder = newFolder()
  const fileSystem = observed((call, args) => {
    if (call === 'openSync' && String(args[0]).includes('.tmp-')) {
      assert.match(String(args[0]), new RegExp(`${nameOf(1)}\\.tmp-${process.pid}-[0-9a-f]{16}$`))
      const { O_EXCL, O_CREAT, O_NOFOLLOW } = fs.constants
      assert.equal((args[1] as number) & (O_EXCL | O_CREAT | O_NOFOLLOW), O_EXCL | O_CREAT | O_NOFOLLOW)
    }
    if (calls.at(-1) !== call) calls.push(call)
  })
  await saveCheckpoint(folder, small(1), { fileSystem })
  const toFile = ['openSync', 'writeSync', 'fsyncSync', 'closeSync', 'renameSync']
  assert.deepEqual(calls, [...toFile, 'openSync', 'fsyncSync', 'closeSync'])
})

for (const code of ['ENOSPC', 'EIO', 'EROFS', 'EACCES', 'EDQUOT']) {
  test(`${code} at any call of a save keeps the older checkpoints, leaves no litter, and says what to do`, async () => {
    const folder = newFolder()
    await saveCheckpoint(folder, small(1))
    await saveCheckpoint(folder, small(2))
    let failAt = 0
    for (let failed = true; failed; ) {
      failAt += 1
      let count = 0
      failed = false
      const fileSystem = observed((call) => {
        if (call === 'unlinkSync' || ++count !== failAt) return
        failed = true
        throw failure(code, call)
      })
      const saved = saveCheckpoint(folder, small(3), { fileSystem })
      if (!failed) {
        await saved
        continue
      }
      await assert.rejects(saved, errorWith('ERR_FILE', join(folder, nameOf(3)), code, /(space|disk|folder)/))
      const names = readdirSync(folder)
      assert.deepEqual(
        names.filter((name) => name !== nameOf(3)),
        [nameOf(1), nameOf(2)],
      )
      await assertHolds(folder, names.includes(nameOf(3)) ? 3 : 2, 4)
      rmSync(join(folder, nameOf(3)), { force: true })
    }
    assert.ok(failAt > 8, `only ${failAt} calls were made`)
    assert.deepEqual(readdirSync(folder), [nameOf(2), nameOf(3)])
    await assertHolds(folder, 3, 4)
  })
}

test('writes that take only a part of the bytes are continued', async () => {
  const folder = newFolder()
  const writeSync = ((descriptor: number, bytes: Uint8Array, offset: number, length: number) =>
    fs.writeSync(descriptor, bytes, offset, Math.ceil(length / 3))) as typeof fs.writeSync
  await saveCheckpoint(folder, contentOf(1), { fileSystem: { ...fs, writeSync } })
  await assertHolds(folder, 1)
  const stuck = { ...fs, writeSync: (() => 0) as typeof fs.writeSync }
  await assert.rejects(saveCheckpoint(folder, contentOf(2), { fileSystem: stuck }), errorWith('ERR_FILE', 'EIO'))
})

test('an error while the content is made leaves the old file and no litter', () => {
  const path = join(root, 'run.json')
  writeFileAtomic(path, 'old')
  const content = function* () {
    yield Buffer.from('new')
    throw new RangeError('no more')
  }
  assert.throws(() => writeFileAtomic(path, content()), RangeError)
  assert.equal(readFileSync(path, 'utf8'), 'old')
  assert.deepEqual(
    readdirSync(root).filter((name) => name.includes('.tmp-')),
    [],
  )
  assert.throws(
    () => writeFileAtomic(join(root, 'none', 'a'), 'x'),
    errorWith('ERR_FILE', 'ENOENT', /create the folder/),
  )
})

function startSaver(folder: string, mode: string, limit = ''): { child: ChildProcess; lines: () => Promise<string[]> } {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const script = fileURLToPath(new URL(`./checkpoint_saver.${extension}`, import.meta.url))
  const command = [process.execPath, ...process.execArgv, script, folder, mode]
  const child = spawn('sh', ['-c', `${limit} exec "$@"`, 'sh', ...command], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout?.on('data', (data) => {
    output += data
  })
  return { child, lines: () => once(child, 'close').then(() => output.split('\n').filter((line) => line !== '')) }
}

test('kill -9 at random moments never loses an acknowledged step nor leaves a file that does not verify', async (t) => {
  const folder = newFolder()
  const random = new Random(BigInt(Date.now()))
  t.diagnostic(`random state ${JSON.stringify(random.state())}`)
  let acknowledged = 0
  let litter = 0
  for (let kill = 0; kill < 40; kill++) {
    const { child, lines } = startSaver(folder, 'forever')
    const ended = lines()
    await Promise.race([once(child.stdout!, 'data'), ended])
    await sleep(random.next() * 15)
    child.kill('SIGKILL')
    const printed = await ended
    assert.ok(printed.length > 0, `the saver of kill ${kill} ended by itself`)
    acknowledged = Math.max(acknowledged, ...printed.map(Number))
    const found = await loadLatestCheckpoint(folder)
    assert.deepEqual(found?.skipped, [])
    assert.ok(found !== undefined && found.step >= acknowledged, `step ${found?.step} after ${acknowledged}`)
    await assertHolds(folder, found.step, 500, 200)
    litter = readdirSync(folder).filter((name) => name.includes('.tmp-')).length
  }
  t.diagnostic(`${acknowledged} steps acknowledged, ${litter} of 40 kills in the middle of a write`)
  assert.ok(acknowledged >= 40)
})

test('what killed savers left behind is removed once it is old, and what a living one writes is not', async () => {
  const folder = newFolder()
  await saveCheckpoint(folder, small(1))
  const exited = spawn(process.execPath, ['-e', ''])
  await once(exited, 'close')
  const temporary = (pid: number, step: number) => join(folder, `${nameOf(step)}.tmp-${pid}-0123456789abcdef`)
  const cases: [path: string, ageSeconds: number, removed: boolean][] = [
    [temporary(exited.pid!, 1), 120, true],
    [temporary(exited.pid!, 2), 5, false],
    [temporary(process.pid, 3), 120, false],
    [temporary(process.pid, 4), 90_000, true],
    [join(folder, `notes.tmp-${exited.pid}-0123456789abcdef`), 90_000, false],
  ]
  for (const [path, age] of cases) {
    fs.writeFileSync(path, 'half')
    utimesSync(path, Date.now() / 1000 - age, Date.now() / 1000 - age)
  }
  await saveCheckpoint(folder, small(2))
  for (const [path, , removed] of cases) assert.equal(existsSync(path), !removed, path)
})

test('three savers in one folder corrupt nothing', async () => {
  const folder = newFolder()
  const savers = [1, 2, 3].map((first) => startSaver(folder, `count:20:${first}`))
  const printed = await Promise.all(savers.map(({ lines }) => lines()))
  for (const lines of printed) assert.equal(lines.length, 20)
  for (const name of readdirSync(folder)) await loadCheckpoint(join(folder, name))
  await assertHolds(folder, 60)
})

test('a real limit of the system on the file size (EFBIG) loses nothing and names the file and the fix', async () => {
  const folder = newFolder()
  const lines = await startSaver(folder, 'grow', 'ulimit -f 200;').lines()
  const { code, message } = JSON.parse(lines.at(-1) ?? '')
  const saved = Number(lines.at(-2))
  assert.ok(saved >= 1)
  assert.equal(code, 'ERR_FILE')
  assert.ok(message.includes(join(folder, nameOf(saved + 1))) && /EFBIG.*ulimit/.test(message), message)
  assert.ok(readdirSync(folder).every((name) => !name.includes('.tmp-')))
  await assertHolds(folder, saved, 1000 * 2 ** saved)
})
