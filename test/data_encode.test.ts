import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import type { EncodedExample, Tokenizer } from '../lib/data/index.ts'
import {
  describeCounts,
  encodePairs,
  encodePrompts,
  encodeSft,
  IGNORED_TARGET,
  packPairs,
  packSequences,
  packSft,
  renderExample,
} from '../lib/data/index.ts'

/** One token per byte, which is what the boundary, length and mask rules are easiest to see with. */
const bytes: Tokenizer = {
  encode: (text) => Int32Array.from(Buffer.from(text, 'utf8')),
  decode: (ids) => Buffer.from(Array.from(ids).filter((id) => id < 256)).toString('utf8'),
  endOfText: 256,
  vocabularySize: 257,
}

const ids = (text: string) => [...Buffer.from(text, 'utf8')]
const END = 256

test('prompt and response are encoded apart, and the response ends with the end-of-text token', () => {
  const calls: string[] = []
  const spying = {
    ...bytes,
    encode(text: string) {
      calls.push(text)
      return [...bytes.encode(text)]
    },
  }
  const { examples, counts } = encodeSft([{ prompt: 'ab', completion: 'cd', weight: 3, line: 9 }], spying, {
    maxLength: 5,
  })
  assert.deepEqual(calls, ['ab', 'cd'])
  assert.deepEqual(examples, [{ tokens: Int32Array.from([...ids('abcd'), END]), promptLength: 2, weight: 3, line: 9 }])
  assert.deepEqual(counts, {
    maxLength: 5,
    kept: 1,
    truncated: 0,
    dropped: 0,
    empty: 0,
    unusable: 0,
    promptTokens: 2,
    responseTokens: 3,
  })
  const open = encodeSft([{ prompt: 'ab', completion: 'cd' }], bytes, { maxLength: 5, appendEndOfText: false })
  assert.deepEqual([...open.examples[0].tokens], ids('abcd'))
})

test('an empty prompt becomes one end-of-text token, an empty response without one is left out', () => {
  const [first] = encodeSft([{ prompt: '', completion: 'x' }], bytes, { maxLength: 9 }).examples
  assert.deepEqual([...first.tokens], [END, ...ids('x'), END])
  assert.equal(first.promptLength, 1)
  const pairs = [{ prompt: 'p', chosen: 'c', rejected: '' }]
  assert.equal(encodePairs(pairs, bytes, { maxLength: 9 }).pairs[0].rejected.tokens.length, 2)
  const { counts } = encodePairs(pairs, bytes, { maxLength: 9, appendEndOfText: false })
  assert.equal(counts.empty, 1)
  assert.equal(counts.kept, 0)
})

test('too long examples are dropped, cut on the left of the prompt, or refused', () => {
  // With the end-of-text token: 4, 6 and 8 tokens; the last has a response of 7.
  const examples = [
    { prompt: 'ab', completion: 'c', line: 1 },
    { prompt: 'abcd', completion: 'e', line: 2 },
    { prompt: 'a', completion: 'bcdefg', line: 3 },
  ]
  const dropped = encodeSft(examples, bytes, { maxLength: 5, truncate: 'drop' })
  assert.deepEqual(
    dropped.examples.map(({ line }) => line),
    [1],
  )
  assert.equal(dropped.counts.dropped, 2)

  const cut = encodeSft(examples, bytes, { maxLength: 5, truncate: 'prompt-left' })
  assert.deepEqual(
    cut.examples.map(({ tokens, promptLength }) => [bytes.decode(tokens), promptLength]),
    [
      ['abc', 2],
      ['bcde', 3],
    ],
  )
  assert.equal(cut.counts.truncated, 1)
  assert.equal(
    describeCounts(cut.counts),
    '3 examples: 2 kept (1 of them with a shortened prompt), 1 dropped (longer than 5 tokens); ' +
      '5 prompt and 4 response tokens',
  )

  assert.throws(() => encodeSft(examples, bytes, { maxLength: 5, truncate: 'error' }), {
    code: 'ERR_DATA',
    index: 2,
    message: /^2 examples longer than 5 tokens; the first, on line 2, has 6\. Raise maxLength/,
  })
  assert.throws(() => encodeSft([], bytes, { maxLength: 0 }), { code: 'ERR_OPTION' })
  assert.throws(() => encodeSft([], bytes, { maxLength: 5, truncate: 'cut' as 'drop' }), { code: 'ERR_OPTION' })
})

test('a prompt keeps at least one token', () => {
  const options = { maxLength: 4, truncate: 'prompt-left' } as const
  const lengths = ['xy', 'xyz'].map((completion) => {
    const { examples } = encodeSft([{ prompt: 'abc', completion }], bytes, options)
    return examples.map(({ promptLength }) => promptLength)
  })
  assert.deepEqual(lengths, [[1], []])
})

test('a pair shares one prompt, cut to fit the longer response, and is kept or left out as a whole', () => {
  const pairs = [
    { prompt: 'abcdef', chosen: 'x', rejected: 'xyz', preference: 0.75, margin: 1, weight: 2, line: 4 },
    { prompt: 'a', chosen: 'x', rejected: 'tuvwxyz' },
    { prompt: 'a', chosen: 'x', rejected: 'y', verdict: 'both-bad' as const },
    { prompt: 'a', chosen: 'x', rejected: 'y' },
  ]
  const encoded = encodePairs(pairs, bytes, { maxLength: 7, truncate: 'prompt-left' })
  assert.deepEqual(encoded.pairs, [
    {
      chosen: { tokens: Int32Array.from([...ids('defx'), END]), promptLength: 3 },
      rejected: { tokens: Int32Array.from([...ids('defxyz'), END]), promptLength: 3 },
      preference: 0.75,
      margin: 1,
      weight: 2,
      line: 4,
    },
    {
      chosen: { tokens: Int32Array.from([...ids('ax'), END]), promptLength: 1 },
      rejected: { tokens: Int32Array.from([...ids('ay'), END]), promptLength: 1 },
      preference: 1,
      margin: 0,
      weight: 1,
    },
  ])
  const { kept, truncated, dropped, unusable } = encoded.counts
  assert.deepEqual({ kept, truncated, dropped, unusable }, { kept: 2, truncated: 1, dropped: 1, unusable: 1 })
})

test('prompts are encoded alone and keep their whole text when they are cut', () => {
  const { prompts, counts } = encodePrompts([{ prompt: 'abcd', line: 1 }, { prompt: '' }], bytes, {
    maxLength: 3,
    truncate: 'prompt-left',
  })
  assert.deepEqual(prompts, [
    { tokens: Int32Array.from(ids('bcd')), prompt: 'abcd', line: 1 },
    { tokens: Int32Array.of(END), prompt: '' },
  ])
  assert.equal(counts.responseTokens, 0)
})

test('packing worked by hand: a position is valid where the token after it is of the response', () => {
  const packed = packSequences([
    { tokens: Int32Array.of(10, 11, 12, 13), promptLength: 2 },
    { tokens: Int32Array.of(20, 21), promptLength: 1 },
    { tokens: Int32Array.of(30), promptLength: 1 },
  ])
  assert.deepEqual([...packed.tokens], [10, 11, 12, 13, 20, 21, 30])
  assert.deepEqual([...packed.offsets], [0, 4, 6, 7])
  assert.deepEqual([...packed.valid], [0, 1, 1, 0, 1, 0, 0])
  assert.deepEqual([...packed.targets], [-100, 12, 13, -100, 21, -100, -100])
  assert.equal(packed.validCount, 3)
  assert.deepEqual([...packSequences([]).offsets], [0])
})

const anyExample = fc
  .array(fc.nat(1000), { minLength: 1, maxLength: 12 })
  .chain((tokens) =>
    fc.nat(tokens.length).map((promptLength): EncodedExample => ({ tokens: Int32Array.from(tokens), promptLength })),
  )

test('in any batch each response token but an unpredictable first one is a target exactly once', () => {
  fc.assert(
    fc.property(fc.array(anyExample, { maxLength: 8 }), (examples) => {
      const { tokens, offsets, valid, targets, validCount } = packSequences(examples)
      const seen: number[] = []
      examples.forEach((example, b) => {
        assert.deepEqual([...tokens.slice(offsets[b], offsets[b + 1])], [...example.tokens])
        for (let i = offsets[b]; i < offsets[b + 1]; i++) {
          if (valid[i] === 1) seen.push(targets[i])
          else assert.equal(targets[i], IGNORED_TARGET)
        }
      })
      const expected = examples.flatMap((example) => [...example.tokens.slice(Math.max(1, example.promptLength))])
      assert.deepEqual(seen, expected)
      assert.equal(validCount, expected.length)
    }),
  )
})

test('pairs are packed chosen first, then rejected, with their judgements beside them', () => {
  const pairs = [
    { prompt: 'p', chosen: 'a', rejected: 'b', preference: 0.75, weight: 2 },
    { prompt: 'q', chosen: 'c', rejected: 'd', margin: 1.5 },
  ]
  const packed = packPairs(encodePairs(pairs, bytes, { maxLength: 8, appendEndOfText: false }).pairs)
  assert.equal(bytes.decode(packed.tokens), 'paqcpbqd')
  assert.deepEqual([...packed.offsets], [0, 2, 4, 6, 8])
  assert.equal(packed.pairs, 2)
  assert.deepEqual(packed.preference, Float32Array.of(0.75, 1))
  assert.deepEqual(packed.margin, Float32Array.of(0, 1.5))
  assert.deepEqual(packed.weight, Float32Array.of(2, 1))
  const sft = encodeSft([{ prompt: '', completion: 'x', weight: 0.5 }], bytes, { maxLength: 8 }).examples
  assert.deepEqual(packSft(sft).weight, Float32Array.of(0.5))
})

test('a rendered example shows where the loss falls', () => {
  const { examples } = encodeSft([{ prompt: '\n\nHi:', completion: ' é!' }], bytes, { maxLength: 20 })
  const plain = [
    'prompt: 5 tokens, no loss',
    '  \\n\\nHi:',
    'response: 5 tokens, the loss falls on these',
    '  [ ][é][!][end of text]',
  ].join('\n')
  assert.equal(renderExample(examples[0], bytes), plain)
  const coloured = renderExample(examples[0], bytes, { color: true })
  assert.notEqual(coloured, plain)
  assert.equal(stripVTControlCharacters(coloured), plain)
})

test('a rendered example is cut where it is long and cannot steer the terminal', () => {
  const { examples } = encodeSft([{ prompt: 'abcdef', completion: '\x1b[2J\t\x7fxyz' }], bytes, { maxLength: 50 })
  assert.equal(
    renderExample(examples[0], bytes, { maxTokens: 4 }),
    [
      'prompt: 6 tokens, no loss',
      '  (2 tokens before) … cdef',
      'response: 10 tokens, the loss falls on these',
      '  [\\x1b][[][2][J] … (6 tokens more)',
    ].join('\n'),
  )
  assert.ok(renderExample(examples[0], bytes).includes('[\\t][\\x7f][x]'))
})

test('bytes that make up no character are shown, not waited for', () => {
  const tokens = Int32Array.of(0x61, 0xff, 0x62, 0x63, 0x64, 0x65)
  assert.match(renderExample({ tokens, promptLength: 1 }, bytes), / {2}\[\uFFFDbcd\]\[e\]$/)
})
