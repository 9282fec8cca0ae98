import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createWriteStream, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { after, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createGzip, gzipSync } from 'node:zlib'
import { describeReport, readPreferences, readText } from '../lib/data/index.ts'
import { LineSplitter } from '../lib/data/lines.ts'
import { PrefgradError } from '../lib/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'prefgrad-data-'))
after(() => rmSync(folder, { recursive: true }))

let files = 0
function write(content: string | Buffer): string {
  const path = join(folder, `${files++}.jsonl`)
  writeFileSync(path, content)
  return path
}

const GOOD = '{"prompt":"p","chosen":"c","rejected":"r"}'

async function refusal(promise: Promise<unknown>, code: string): Promise<PrefgradError> {
  const error = await promise.then(
    () => assert.fail('nothing was refused'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof PrefgradError, String(error))
  assert.equal(error.code, code, error.message)
  return error
}

test('each kind of bad line is refused with its number and its reason', async () => {
  const cases: [line: string | Buffer, reason: RegExp][] = [
    ['{"prompt":"p","chosen":"c"', /^invalid JSON: /],
    ['[]', /^is a JSON array; write one object a line/],
    ['"text"', /^is "text", not a JSON object$/],
    ['null', /^is null, not a JSON object$/],
    [Buffer.from([...Buffer.from('{"é":"'), 0xff, 0x22, 0x7d]), /^invalid UTF-8 at byte 7 of the line$/],
    [`\uFEFF${GOOD}`, /^begins with a byte order mark/],
    ['{}', /^`chosen` is missing \(the line has no keys\)$/],
    ['{"prompt":"p","choosen":"c","rejected":"r"}', /^`chosen` is missing \(the line has prompt, choosen, rejected\)$/],
    ['{"prompt":"p","chosen":"c"}', /^`rejected` is missing/],
    ['{"prompt":"p","chosen":"c","rejected":null}', /^`rejected` is missing/],
    ['{"prompt":"p","chosen":"c","rejected":7}', /^`rejected` must be a string, but is 7$/],
    ['{"prompt":["p"],"chosen":"c","rejected":"r"}', /^`prompt` must be a string, but is \["p"\]$/],
    ['{"prompt":"p","chosen":"c","rejected":"\\ud800"}', /^`rejected` holds half of a surrogate pair/],
    ['{"prompt":"p","chosen":"c","rejected":"c"}', /^`chosen` and `rejected` are the same text$/],
    [GOOD.replace('}', ',"preference":1.5}'), /^`preference` must be a number from 0 to 1, but is 1.5$/],
    [GOOD.replace('}', ',"preference":-0.1}'), /^`preference` must be a number from 0 to 1, but is -0.1$/],
    [GOOD.replace('}', ',"preference":"1"}'), /^`preference` must be a number from 0 to 1, but is "1"$/],
    [GOOD.replace('}', ',"preference":0.7,"verdict":"tie"}'), /^`preference` 0.7 and the verdict "tie" contradict/],
    [GOOD.replace('}', ',"preference":1,"verdict":"skip"}'), /^`preference` 1 and the verdict "skip" contradict/],
    [GOOD.replace('}', ',"verdict":"draw"}'), /^`verdict` must be one of tie, both-bad, skip, but is "draw"$/],
    [GOOD.replace('}', ',"margin":1e999}'), /^`margin` must be a finite number, but is Infinity$/],
    [GOOD.replace('}', ',"weight":-1}'), /^`weight` must be a number, 0 or more, but is -1$/],
    [GOOD.replace('}', ',"annotator":{}}'), /^`annotator` must be a string, but is {}$/],
    [JSON.stringify({ prompt: 'p'.repeat(300), chosen: 'c', rejected: 'r' }), /^is 341 bytes long, more than the 300/],
  ]
  for (const [line, reason] of cases) {
    const path = write(Buffer.concat([Buffer.from(`${GOOD}\n\n`), Buffer.from(line), Buffer.from(`\n${GOOD}\n`)]))
    const reader = readPreferences(path, { maxLineBytes: 300 })
    const error = await refusal(reader.load(), 'ERR_DATA')
    assert.equal(error.index, 3)
    assert.match(error.message, /: 1 of 4 lines cannot be used:\n {2}line 3: /)
    assert.match(reader.report.badLines[0].reason, reason)

    const skipping = readPreferences(path, { maxLineBytes: 300, onBadLine: 'skip' })
    const { examples, report } = await skipping.load()
    assert.deepEqual(
      examples.map(({ line }) => line),
      [1, 4],
    )
    assert.equal(report.badLineCount, 1)
    assert.equal(report.badLines[0].line, 3)
  }
})

test('the error lists the first few bad lines, counts all of them and says what to do', async () => {
  const path = write(`${GOOD}\n${'{}\n'.repeat(30)}${GOOD}\n`)
  const reader = readPreferences(path)
  const { message } = await refusal(reader.load(), 'ERR_DATA')
  assert.match(message, /30 of 32 lines cannot be used:\n {2}line 2: .*\n {2}line 3: .*\n {2}line 4: .*\n/)
  assert.match(message, /\n {2}line 6: .*\n {2}and 25 more\n/)
  assert.match(message, /onBadLine: 'skip'/)
  assert.equal(reader.report.badLines.length, 20)
})

test('nothing is delivered from the first bad line on', async () => {
  const seen: (number | undefined)[] = []
  const reader = readPreferences(write(`${GOOD}\n{}\n${GOOD}\n`))
  const iteration = async () => {
    for await (const { line } of reader) seen.push(line)
  }
  await refusal(iteration(), 'ERR_DATA')
  assert.deepEqual(seen, [1])
})

test('a byte order mark, CRLF, blank lines and a missing last newline are fine and counted', async () => {
  const { examples, report } = await readPreferences(write(`\uFEFF${GOOD}\r\n\r\n  \n${GOOD}`)).load()
  assert.deepEqual(examples, [
    { prompt: 'p', chosen: 'c', rejected: 'r', line: 1 },
    { prompt: 'p', chosen: 'c', rejected: 'r', line: 4 },
  ])
  assert.equal(report.lines, 4)
  assert.equal(report.blankLines, 2)
})

test('a last line that stops in the middle is called cut off', async () => {
  const { message } = await refusal(readPreferences(write(`${GOOD}\n${GOOD.slice(0, 20)}`)).load(), 'ERR_DATA')
  assert.match(message, /line 2: invalid JSON: .* it is the last line and has no newline: is the file cut off\?/)
})

test('a __proto__ key changes nothing', async () => {
  const line = '{"__proto__":{"chosen":"x","margin":9},"prompt":"p","rejected":"r"}'
  const reader = readPreferences(write(`${line}\n`))
  await refusal(reader.load(), 'ERR_DATA')
  assert.match(reader.report.badLines[0].reason, /^`chosen` is missing \(the line has __proto__, prompt, rejected\)$/)
  const { examples } = await readPreferences(write(`${line.replace('"prompt"', '"chosen":"c","prompt"')}\n`)).load()
  assert.deepEqual(examples, [{ prompt: 'p', chosen: 'c', rejected: 'r', line: 1 }])
  assert.equal(({} as { margin?: number }).margin, undefined)
})

test('only what the line itself says is read', async () => {
  Object.defineProperty(Object.prototype, 'margin', { value: 9, configurable: true })
  try {
    const { examples } = await readPreferences(write(`${GOOD}\n`)).load()
    assert.equal(Object.hasOwn(examples[0], 'margin'), false)
  } finally {
    Reflect.deleteProperty(Object.prototype, 'margin')
  }
})

test('gzip is recognised by content, several members included, and the hash is that of the file', async () => {
  const bytes = Buffer.concat([gzipSync(`${GOOD}\n`), gzipSync(`${GOOD}\n${GOOD}\n`)])
  const { examples, report } = await readPreferences(write(bytes)).load()
  assert.equal(examples.length, 3)
  assert.equal(report.gzip, true)
  assert.equal(report.bytes, bytes.length)
  assert.equal(report.sha256, createHash('sha256').update(bytes).digest('hex'))
  assert.match(describeReport(report), /3 records from 3 lines \(gzip, \d+ bytes, sha256 [0-9a-f]{12}…\)$/)
})

test('a gzip file cut off at any byte is refused, also when bad lines are skipped', async () => {
  const whole = gzipSync(`${GOOD}\n`.repeat(20))
  for (let length = 2; length < whole.length; length++) {
    const path = write(whole.subarray(0, length))
    const error = await refusal(readPreferences(path, { onBadLine: 'skip' }).load(), 'ERR_FILE')
    assert.match(error.message, /is cut off: its gzip data ends after \d+ bytes of text/)
  }
})

test('a corrupt gzip file is refused', async () => {
  const bytes = gzipSync(`${GOOD}\n`)
  bytes[bytes.length - 6] ^= 1
  const { message } = await refusal(readPreferences(write(bytes)).load(), 'ERR_FILE')
  assert.match(message, /is corrupt after \d+ bytes of text \(incorrect data check\)/)
})

test('a missing file, a directory and foreign formats are refused by name', async () => {
  const load = (path: string) => refusal(readPreferences(path).load(), 'ERR_FILE')
  assert.match((await load(join(folder, 'absent.jsonl'))).message, /absent\.jsonl does not exist\. Check the path\.$/)
  assert.match((await load(folder)).message, /is a directory\. Name a file in it\.$/)
  assert.match((await load(write('PK\x03\x04zip'))).message, /is a ZIP archive/)
  assert.match((await load(write('PAR1....'))).message, /is a Parquet file/)
  assert.match((await load(write(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0])))).message, /compressed with Zstandard/)
  assert.match((await load(write(Buffer.from(`\uFEFF${GOOD}`, 'utf16le')))).message, /is UTF-16 text/)
})

test('a file without a usable record is refused', async () => {
  const load = (content: string) => refusal(readPreferences(write(content), { onBadLine: 'skip' }).load(), 'ERR_DATA')
  assert.match((await load('')).message, /holds nothing to use: 0 lines/)
  assert.match((await load('\n\n')).message, /holds nothing to use: 2 lines, 2 of them blank/)
  assert.match((await load('{}\n')).message, /holds nothing to use:\n {2}line 1: `chosen` is missing/)
  assert.match(
    (await load(GOOD.replace('}', ',"verdict":"skip"}'))).message,
    /the verdict of all its 1 pair is both-bad or skip/,
  )
})

test('bad options are refused, and there is no report before the end', async () => {
  const path = write(`${GOOD}\n`)
  assert.throws(() => readPreferences(path, { onBadLine: 'ignore' as 'skip' }), { code: 'ERR_OPTION' })
  assert.throws(() => readPreferences(path, { maxLineBytes: 0 }), { code: 'ERR_OPTION' })
  assert.throws(() => readPreferences(path, { keep: 'some' as 'all' }), { code: 'ERR_OPTION' })
  assert.throws(() => readPreferences(path).report, { code: 'ERR_ARGUMENT' })
})

test('an abort signal stops the reading', async () => {
  const signal = AbortSignal.abort()
  await refusal(readPreferences(write(`${GOOD}\n`), { signal }).load(), 'ERR_ABORTED')
})

test('stopping an iteration early closes the file', { skip: !existsSync('/proc/self/fd') }, async () => {
  for (const content of [`${GOOD}\n`.repeat(50_000), gzipSync(`${GOOD}\n`.repeat(50_000))]) {
    const path = write(content)
    const before = readdirSync('/proc/self/fd').length
    for (let i = 0; i < 8; i++) for await (const _ of readPreferences(path)) break
    assert.ok(readdirSync('/proc/self/fd').length <= before + 1)
  }
})

test('lines longer than many chunks, with characters on the edges of chunks, are put together', async () => {
  const long = 'aé漢😀'.repeat(40_000)
  const lines = [long, 'short', long].map((chosen) => JSON.stringify({ prompt: 'p', chosen, rejected: 'r' }))
  const { examples } = await readPreferences(write(lines.join('\n'))).load()
  assert.deepEqual(
    examples.map(({ chosen }) => chosen === long),
    [true, false, true],
  )
})

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** MiB that are still held once everything unreachable is gone. */
function heldMemory(): number {
  // Buffers are swept beside the program and leave the count only when the next collection begins.
  collectGarbage()
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 2 ** 20
}

test('a line that is too long is not held while the rest of it arrives', () => {
  const splitter = new LineSplitter(2 ** 21)
  const before = heldMemory()
  for (let i = 0; i < 32; i++) assert.deepEqual(splitter.push(Buffer.alloc(2 ** 20, 'x')), [])
  const held = heldMemory() - before
  const reason = `is ${2 ** 25} bytes long, more than the ${2 ** 21} allowed (maxLineBytes)`
  assert.deepEqual(splitter.push(Buffer.from('\nshort\n')), [
    { number: 1, terminated: true, reason },
    { number: 2, terminated: true, text: 'short' },
  ])
  assert.ok(held < 4, `held ${held.toFixed(1)} MiB`)
})

test('a large file is never held as a whole', async () => {
  const path = join(folder, 'large.jsonl')
  const line = `${JSON.stringify({ prompt: 'p'.repeat(1000), chosen: 'c', rejected: 'r' })}\n`
  const block = Buffer.from(line.repeat(1000))
  function* content() {
    for (let i = 0; i < 48; i++) yield block
    for (let i = 0; i < 48; i++) yield Buffer.alloc(2 ** 20, 'x')
  }
  await pipeline(Readable.from(content()), createGzip({ level: 1 }), createWriteStream(path))
  const before = heldMemory()
  let most = 0
  let records = 0
  const reader = readPreferences(path, { onBadLine: 'skip', maxLineBytes: 2 ** 20 })
  for await (const _ of reader) if (++records % 8000 === 0) most = Math.max(most, heldMemory() - before)
  most = Math.max(most, heldMemory() - before)
  assert.equal(records, 48_000)
  assert.match(reader.report.badLines[0].reason, /^is 50331648 bytes long, more than the 1048576 allowed/)
  assert.ok(most < 12, `held ${most.toFixed(1)} MiB of a text of 97 MiB`)
})

test('plain text comes in pieces that add up to the file', async () => {
  const text = Array.from({ length: 100 }, (_, i) => (i % 7 === 0 ? '' : `line ${i} é`)).join('\n')
  const reader = readText(write(gzipSync(`\uFEFF${text.replaceAll('\n', '\r\n')}`)), { pieceLength: 64 })
  const { examples } = await reader.load()
  assert.ok(examples.length > 5)
  assert.equal(examples.map((piece) => piece.text).join(''), text)
  assert.deepEqual(
    examples.map(({ startsDocument }) => startsDocument),
    examples.map((_, i) => i === 0),
  )
  for (const piece of examples) {
    const index = text
      .split('\n')
      .slice(0, piece.line - 1)
      .join('\n').length
    assert.ok(text.slice(index).trimStart().startsWith(piece.text.trim().slice(0, 10)))
  }
})

test('texts in JSONL are documents of their own, and a damaged JSONL file is not taken for prose', async () => {
  const { examples } = await readText(write('{"text":"one\\ntwo"}\n\n{"text":"three"}\n')).load()
  assert.deepEqual(examples, [
    { text: 'one\ntwo', startsDocument: true, line: 1 },
    { text: 'three', startsDocument: true, line: 3 },
  ])
  const damaged = readText(write('xt":"one"}\n{"text":"three"}\n'))
  await refusal(damaged.load(), 'ERR_DATA')
  assert.match(damaged.report.badLines[0].reason, /^is a JSON object in a plain text/)
  await refusal(readText(write(Buffer.from([0x61, 0x0a, 0xc3, 0x0a]))).load(), 'ERR_DATA')
})
