/** Parts of the command line that need no process: windows of text, the progress bar, numbers and quoting. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { count, digits, percent, printable, scaled, shellLine } from '../lib/cli/format.ts'
import { Reporter } from '../lib/cli/reporter.ts'
import { bytesOf, documentsOf, splitDocuments, windowsOf } from '../lib/cli/windows.ts'
import { trainTokenizer } from '../lib/model/tokenizer.ts'

const tokenizer = trainTokenizer(['one two three one two'], { vocabularySize: 260 })

test('pieces of one document are brought together, and the bytes are those of UTF-8', () => {
  const piece = (text: string, startsDocument: boolean) => ({ text, startsDocument, line: 1 })
  const documents = documentsOf([piece('a', true), piece('é', false), piece('b', true)])
  assert.deepEqual(documents, [['a', 'é'], ['b']])
  assert.equal(bytesOf(documents), 4)
})

test('windows predict every token but the first exactly once, with an end-of-text token around every document', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.string({ minLength: 1 }), { minLength: 1 }), { minLength: 1 }),
      fc.integer({ min: 2, max: 9 }),
      (documents, length) => {
        const end = tokenizer.endOfText
        const stream = documents.flatMap((texts) => [end, ...texts.flatMap((text) => [...tokenizer.encode(text)])])
        const windows = windowsOf(documents, tokenizer, length)
        const predicted = windows.flatMap(({ tokens, promptLength }) => [...tokens.subarray(promptLength)])
        assert.deepEqual(predicted, [...stream.slice(1), end])
        for (const { tokens } of windows) assert.ok(tokens.length >= 2 && tokens.length <= length)
      },
    ),
  )
})

test('copies of a document fall on the same side, and a split never takes all of the training data', () => {
  const documents = Array.from({ length: 400 }, (_, i) => [`document ${i % 200}`])
  const { train, heldOut } = splitDocuments(documents, 0.2)
  assert.equal(train.length + heldOut.length, 400)
  assert.ok(heldOut.length > 40 && heldOut.length < 120, `${heldOut.length} of 400 are held out`)
  const trained = new Set(train.map(([text]) => text))
  assert.ok(heldOut.every(([text]) => !trained.has(text)))
  assert.deepEqual(splitDocuments([['only one']], 0.999), { train: [['only one']], heldOut: [] })
})

/** A stream that remembers what was written. */
const stream = (isTTY: boolean) => {
  const written: string[] = []
  const fake = { isTTY, columns: 60, write: (text: string) => written.push(text) > 0 }
  return { written, fake: fake as unknown as NodeJS.WriteStream }
}

test('on a terminal a step is one line redrawn in place and no wider than the terminal', () => {
  const [out, err] = [stream(true), stream(true)]
  const reporter = new Reporter({ json: false, out: out.fake, err: err.fake })
  for (let step = 1; step <= 40; step++) reporter.step('sft', { step }, step, 40, 'loss 1.5'.repeat(10))
  reporter.record('result', {}, 'done')
  assert.deepEqual(out.written, ['done\n'])
  // Redraws are spared: the first, the last, and what takes the bar away.
  assert.ok(err.written.length >= 3 && err.written.length < 40)
  assert.equal(err.written.at(-1), '\r\x1b[K')
  for (const text of err.written) assert.ok(text.replace('\r\x1b[K', '').length < 60 && !text.includes('\n'))
  assert.match(err.written[0], /sft █░{23} 1\/40/)
  assert.match(err.written.at(-2) as string, /sft █{24} 40\/40 {2}loss 1\.5/)
})

test('without a terminal a run prints about twenty plain lines, with the last step among them', () => {
  const [out, err] = [stream(false), stream(false)]
  const reporter = new Reporter({ json: false, out: out.fake, err: err.fake })
  for (let step = 1; step <= 400; step++) reporter.step('sft', { step }, step, 400, 'loss 1.5')
  reporter.progress('rollout', 1, 2)
  assert.equal(out.written.length, 20)
  assert.equal(out.written.at(-1), 'sft 400/400  loss 1.5\n')
  assert.deepEqual(err.written, [])
})

test('with --json standard output is one object a line, numbers that JSON lacks are named, and notes are silent', () => {
  const [out, err] = [stream(false), stream(true)]
  const reporter = new Reporter({ json: true, out: out.fake, err: err.fake })
  reporter.note('for people')
  reporter.info('data', { records: 3 }, 'three records')
  reporter.step('sft', { step: 1, loss: Number.NaN }, 1, 9, 'loss')
  assert.deepEqual(
    out.written.map((line) => JSON.parse(line)),
    [
      { event: 'data', records: 3 },
      { event: 'step', step: 1, loss: 'NaN' },
    ],
  )
  assert.deepEqual(err.written, [])
})

test('a command line that was quoted means the same words to a shell', () => {
  const words = ['prefgrad', "it's", 'two words', '$HOME', '', '*', 'a;b', '--lr=1e-4', 'é', 'line\nbreak']
  const echoed = execFileSync('bash', ['-c', `printf '%s\\0' ${shellLine(words)}`], { encoding: 'utf8' })
  assert.deepEqual(echoed.split('\0').slice(0, -1), words)
})

test('numbers are short, and text cannot steer the terminal', () => {
  assert.equal(count(1234567), '1,234,567')
  assert.deepEqual([0, 999, 1234, 35_069_472, 1.2e15].map(scaled), ['0 ', '999 ', '1.23 k', '35.1 M', '1.2 P'])
  assert.deepEqual([0.5, 1, Number.NaN].map(percent), ['50.0 %', '100.0 %', 'none'])
  assert.deepEqual([Math.PI, 1e-7, 0, Number.POSITIVE_INFINITY].map(digits), ['3.142', '1e-7', '0', 'Infinity'])
  assert.equal(printable('a\x1b[31mb\n\tc\u009b'), 'a\\x1b[31mb\n\tc\\x9b')
})
