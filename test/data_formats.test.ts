import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import type { PreferencePair, RecordReader } from '../lib/data/index.ts'
import { dialogueTemplate, formatPreference, readPreferences, readPrompts, readSft } from '../lib/data/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'prefgrad-data-'))
after(() => rmSync(folder, { recursive: true }))

let files = 0
function write(content: string | Buffer): string {
  const path = join(folder, `${files++}.jsonl`)
  writeFileSync(path, content)
  return path
}

const jsonl = (...records: unknown[]) => write(records.map((record) => `${JSON.stringify(record)}\n`).join(''))

/** The one record of a file of one, without its line number. */
async function only<T extends { line?: number }>(reader: RecordReader<T>): Promise<Omit<T, 'line'>> {
  const { examples } = await reader.load()
  assert.equal(examples.length, 1)
  const { line, ...record } = examples[0]
  assert.equal(line, 1)
  return record
}

async function reasonOf(reader: RecordReader<unknown>): Promise<string> {
  await assert.rejects(reader.load(), { code: 'ERR_DATA' })
  return reader.report.badLines[0].reason
}

const pair = (record: unknown) => only(readPreferences(jsonl(record)))
const pairRefusal = (record: unknown) => reasonOf(readPreferences(jsonl(record)))

const user = (content: string) => ({ role: 'user', content })
const assistant = (content: string) => ({ role: 'assistant', content })

test('dialogues are split after the last assistant turn that they share', async () => {
  const shared = '\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Name a colour.\n\nAssistant:'
  assert.deepEqual(await pair({ chosen: `${shared} Blue is one.`, rejected: `${shared} Blue? No.` }), {
    prompt: shared,
    chosen: ' Blue is one.',
    rejected: ' Blue? No.',
  })
})

test('a response that is the beginning of the other one, or empty, is split at the same place', async () => {
  const prompt = '\n\nHuman: Hi\n\nAssistant:'
  assert.deepEqual(await pair({ chosen: `${prompt} Yes`, rejected: `${prompt} Yes, but` }), {
    prompt,
    chosen: ' Yes',
    rejected: ' Yes, but',
  })
  assert.deepEqual(await pair({ chosen: `${prompt} Yes`, rejected: prompt }), { prompt, chosen: ' Yes', rejected: '' })
})

test('dialogues that part too early or share no turn are refused', async () => {
  const start = '\n\nHuman: Hi\n\nAssistant: Hello.'
  const parted = `${start.replace('Hello', 'Hey')}\n\nHuman: More\n\nAssistant: Here.`
  assert.match(
    await pairRefusal({ chosen: start, rejected: parted }),
    /part before their last answer: `rejected` goes on with another "\\n\\nHuman:" turn/,
  )
  assert.match(await pairRefusal({ chosen: 'good', rejected: 'bad' }), /share no "\\n\\nAssistant:" turn/)
  // The header itself must be shared as a whole: here only a part of it is.
  assert.match(
    await pairRefusal({ chosen: '\n\nAssistant: a', rejected: '\n\nAssistants: b' }),
    /share no "\\n\\nAssistant:" turn/,
  )
  assert.match(await pairRefusal({ chosen: start, rejected: start }), /are the same text/)
  // Where a turn before it is shared, that one is the last.
  assert.deepEqual(await pair({ chosen: `${start}\n\nAssistant: a`, rejected: `${start}\n\nAssistants: b` }), {
    prompt: '\n\nHuman: Hi\n\nAssistant:',
    chosen: ' Hello.\n\nAssistant: a',
    rejected: ' Hello.\n\nAssistants: b',
  })
})

test('message lists give the same texts as the dialogue, however the prompt is given', async () => {
  const expected = {
    prompt: '\n\nSystem: Be kind.\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: A colour?\n\nAssistant:',
    chosen: ' Blue.',
    rejected: ' No.',
  }
  const prompt = [{ role: 'system', content: 'Be kind.' }, user('Hi'), assistant('Hello.'), user('A colour?')]
  const chosen = [assistant('Blue.')]
  const rejected = [assistant('No.')]
  const whole = { chosen: [...prompt, ...chosen], rejected: [...prompt, ...rejected] }
  assert.deepEqual(await pair({ prompt, chosen, rejected }), expected)
  assert.deepEqual(await pair(whole), expected)
  assert.deepEqual(await pair({ prompt, ...whole }), expected)
  assert.deepEqual(await pair({ prompt: 'A colour?', ...whole }), expected)
  const asText = { chosen: expected.prompt + expected.chosen, rejected: expected.prompt + expected.rejected }
  assert.deepEqual(await pair(asText), expected)
})

test('message lists that do not fit together are refused with what is wrong', async () => {
  const prompt = [user('Hi')]
  const chosen = [assistant('a')]
  const rejected = [assistant('b')]
  const cases: [record: unknown, reason: RegExp][] = [
    [{ chosen, rejected }, /share no first message/],
    [{ prompt, chosen: 'a', rejected }, /^`chosen` must be a list of \{ role, content \} messages, but is "a"/],
    [{ prompt: [], chosen, rejected }, /^`prompt` must be a list of .* but is \[\]/],
    [{ prompt: 'Ho', chosen: [...prompt, ...chosen], rejected: [...prompt, ...rejected] }, /`prompt` is "Ho", which/],
    [
      { prompt, chosen, rejected: [user('b')] },
      /^`rejected`, after the prompt, must be exactly one assistant.*: user$/,
    ],
    [{ prompt, chosen: [...chosen, ...chosen], rejected }, /`chosen`, after the prompt, .*: assistant, assistant$/],
    [{ prompt: [...prompt, ...chosen], chosen, rejected }, /prompt ends with an assistant message/],
    [{ prompt, chosen: [{ role: 'tool', content: '' }], rejected }, /`chosen\[0\].role` must be one of .* "tool"/],
    [{ prompt, chosen: [{ role: 'user' }], rejected }, /`chosen\[0\].content` must be a string, but is missing/],
    [{ prompt, chosen: ['a'], rejected }, /`chosen\[0\]` must be a \{ role, content \} message, but is "a"/],
    [{ prompt, chosen, rejected: chosen }, /are the same text/],
    [{ chosen: [...prompt, ...chosen], rejected: [...prompt, ...chosen] }, /are the same text/],
  ]
  for (const [record, reason] of cases) assert.match(await pairRefusal(record), reason)
})

test('a template of the user renders messages and leaves strings alone', async () => {
  const template = {
    prompt: (messages: readonly { role: string; content: string }[]) =>
      messages.map(({ role, content }) => `<${role}>${content}`).join(''),
    response: (content: string) => `<answer>${content}`,
  }
  const path = jsonl(
    { prompt: [user('Hi')], chosen: [assistant('a')], rejected: [assistant('b')] },
    { prompt: 'p', chosen: 'c', rejected: 'r' },
  )
  const { examples } = await readPreferences(path, { template }).load()
  assert.deepEqual(examples, [
    { prompt: '<user>Hi', chosen: '<answer>a', rejected: '<answer>b', line: 1 },
    { prompt: 'p', chosen: 'c', rejected: 'r', line: 2 },
  ])
  assert.equal(dialogueTemplate.prompt([{ role: 'user', content: 'Hi' }]), '\n\nHuman: Hi\n\nAssistant:')
})

test('optional fields are read, null is absent, numbered annotators are text', async () => {
  const texts = { prompt: 'p', chosen: 'c', rejected: 'r' }
  const full = { ...texts, preference: 0.25, margin: -2, weight: 0, annotator: 'ann' }
  assert.deepEqual(await pair({ ...full, source: 'ignored' }), full)
  assert.deepEqual(await pair({ ...texts, preference: null, margin: null, annotator: null, verdict: null }), texts)
  assert.deepEqual(await pair({ ...texts, annotator: 7 }), { ...texts, annotator: '7' })
})

test('a tie is preference ½, the other verdicts are counted and delivered only on request', async () => {
  const texts = { prompt: 'p', chosen: 'c', rejected: 'r' }
  const path = jsonl(
    { ...texts, verdict: 'tie' },
    { ...texts, preference: 'tie' },
    { ...texts, rejected: 'c', verdict: 'tie', preference: 0.5 },
    { ...texts, verdict: 'both-bad' },
    { ...texts, preference: 'skip' },
    { ...texts, rejected: 'c', verdict: 'skip' },
  )
  const { examples, report } = await readPreferences(path).load()
  assert.deepEqual(
    examples.map(({ preference, verdict, line }) => [preference, verdict, line]),
    [1, 2, 3].map((line) => [0.5, 'tie', line]),
  )
  assert.equal(report.unusable, 3)
  const all = await readPreferences(path, { keep: 'all' }).load()
  assert.equal(all.report.unusable, 0)
  assert.deepEqual(
    all.examples.slice(3).map(({ preference, verdict }) => [preference, verdict]),
    [
      [undefined, 'both-bad'],
      [undefined, 'skip'],
      [undefined, 'skip'],
    ],
  )
})

test('texts to imitate are read in all their forms', async () => {
  const sft = (record: unknown) => only(readSft(jsonl(record)))
  const prompt = '\n\nHuman: Hi\n\nAssistant:'
  assert.deepEqual(await sft({ prompt: 'a', completion: 'b', weight: 2 }), { prompt: 'a', completion: 'b', weight: 2 })
  assert.deepEqual(await sft({ text: 'a b' }), { prompt: '', completion: 'a b' })
  assert.deepEqual(await sft({ messages: [user('Hi'), assistant('Ho')] }), { prompt, completion: ' Ho' })
  assert.deepEqual(await sft({ prompt: [user('Hi')], completion: [assistant('Ho')] }), { prompt, completion: ' Ho' })
  assert.deepEqual(await sft({ prompt: 'p', chosen: 'c', rejected: 'r' }), { prompt: 'p', completion: 'c' })
  const reversed = { prompt: 'p', chosen: 'c', rejected: 'r', preference: 0.1 }
  assert.deepEqual(await sft(reversed), { prompt: 'p', completion: 'r' })
  const { report } = await readSft(jsonl({ text: 'a' }, { ...reversed, preference: 'skip' })).load()
  assert.equal(report.unusable, 1)

  const refused = (record: unknown) => reasonOf(readSft(jsonl(record)))
  assert.match(await refused({ prompt: 'a' }), /`prompt` and `completion` \(or .*\) is missing \(the line has prompt\)/)
  assert.match(await refused({ completion: 'a' }), /^`prompt` is missing/)
  assert.match(await refused({ prompt: 'a', completion: [assistant('b')] }), /^`prompt` must be a list of/)
  assert.match(await refused({ messages: [user('Hi')] }), /the last of `messages` must be exactly one assistant .*user/)
  assert.match(await refused({ text: '' }), /no text to learn/)
  assert.match(await refused({ text: 7 }), /`text` must be a string, but is 7/)
})

test('prompts are read from prompt files and from preference files', async () => {
  const prompt = (record: unknown) => only(readPrompts(jsonl(record)))
  const rendered = '\n\nHuman: Hi\n\nAssistant:'
  assert.deepEqual(await prompt({ prompt: 'a', completion: 'b' }), { prompt: 'a' })
  assert.deepEqual(await prompt({ prompt: [user('Hi')] }), { prompt: rendered })
  assert.deepEqual(await prompt({ chosen: `${rendered} a`, rejected: `${rendered} b` }), { prompt: rendered })
  const conversations = { chosen: [user('Hi'), assistant('a')], rejected: [user('Hi'), assistant('b')] }
  assert.deepEqual(await prompt(conversations), { prompt: rendered })
  assert.deepEqual(await prompt({ prompt: 'Hi', ...conversations }), { prompt: rendered })
  assert.match(await reasonOf(readPrompts(jsonl({ text: 'a' }))), /^`prompt` is missing \(the line has text\)/)
})

const anyText = fc.string({ unit: 'grapheme' })
const anyPair = fc
  .record(
    {
      prompt: anyText,
      chosen: anyText,
      rejected: anyText,
      preference: fc.double({ min: 0, max: 1, noNaN: true }),
      margin: fc.double({ noNaN: true, noDefaultInfinity: true }),
      weight: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
      annotator: anyText,
    },
    { requiredKeys: ['prompt', 'chosen', 'rejected'] },
  )
  // JSON has no −0.
  .map((record) => JSON.parse(JSON.stringify(record)) as PreferencePair)
  .filter(({ chosen, rejected }) => chosen !== rejected)

test('pairs that are written are read back as they were, gzip or not', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyPair, { minLength: 1, maxLength: 20 }), fc.boolean(), async (pairs, gzip) => {
      const content = pairs.map((written) => `${formatPreference(written)}\n`).join('')
      const { examples } = await readPreferences(write(gzip ? gzipSync(content) : content)).load()
      assert.deepEqual(
        examples,
        pairs.map((written, i) => ({ ...written, line: i + 1 })),
      )
    }),
    { numRuns: 100 },
  )
})

test('a file of random bytes is refused or read, never half and never with another error', async () => {
  const chunk = fc.oneof(
    fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
    fc
      .constantFrom('\n', '\r\n', '{"prompt":"p","chosen":"c","rejected":"r"}', '{"chosen":', '\uFEFF')
      .map(Buffer.from),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(chunk, { maxLength: 12 }), async (chunks) => {
      const reader = readPreferences(write(Buffer.concat(chunks)))
      const outcome = await reader.load().catch((error: { code: string }) => error.code)
      if (typeof outcome === 'object') {
        const { lines, blankLines, records } = outcome.report
        assert.equal(lines, blankLines + records)
      } else {
        assert.ok(['ERR_DATA', 'ERR_FILE'].includes(outcome), outcome)
      }
    }),
    { numRuns: 200 },
  )
})
