import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { PrefgradError } from '../lib/errors.ts'
import { BYTE_SYMBOLS, eachWord } from '../lib/model/byte_level.ts'
import { Tokenizer, type TokenizerJson, trainTokenizer } from '../lib/model/tokenizer.ts'
import { Random } from '../lib/random.ts'

const folder = mkdtempSync(join(tmpdir(), 'prefgrad-tokenizer-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const wordsOf = (text: string) => {
  const words: string[] = []
  eachWord(text, (word) => words.push(word))
  return words
}
const tokensOf = (tokenizer: Tokenizer, ids: Int32Array) => Array.from(ids, (id) => tokenizer.decode([id]))

const PROSE = `The people of the United States, in order to form a more perfect union, establish justice, insure
domestic tranquillity, provide for the common defence... it's 1787! “We, the people” don't forget.\n`.repeat(4)
const trained = trainTokenizer([PROSE], { vocabularySize: 360 })

const codeUnit = fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit))
const signs = [' ', '  ', '\n', '\0', '\ufeff', '\u0085', '\u2028', "'s", 'é', '1787', '🌍', '👩‍🚀', '<|endoftext|>']
const snippet = fc.constantFrom(...signs)
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: fc.oneof(snippet, codeUnit), maxLength: 20 }),
  fc.string({ unit: snippet, maxLength: 20 }),
)

test('the first merges of a small text are the ones counted by hand', () => {
  // Words: low ×5, lower ×2, newest ×6, widest ×3, each on a line of its own, so “\n” is a word too.
  // e+s: 6 + 3 = 9 and s+t: 9, w+e: 2 + 6 = 8, l+o and o+w: 7; of the 9s the smaller ids first: e < s.
  // es+t: 9. Then l+o and o+w: 7 (n+e and e+w and w+est: 6): l < o. lo+w: 7. Then e+w, n+e, w+est: 6, e first; n+ew: 6;
  // new+est: 6. Then low stays 7, w+i, i+d, d+est: 3: d first, then i+dest, w+idest. Then low+e, e+r: 2: e+r, low+er.
  const counts = { low: 5, lower: 2, newest: 6, widest: 3 }
  const words = Object.entries(counts).flatMap(([word, count]) => Array<string>(count).fill(word))
  const { model } = trainTokenizer([words.join('\n')], { vocabularySize: 1000 }).toJSON()
  assert.deepEqual(model.merges, [
    ...['e s', 'es t', 'l o', 'lo w', 'e w', 'n ew', 'new est'],
    ...['d est', 'i dest', 'w idest', 'e r', 'low er'],
  ])
})

test('ids are special tokens, then bytes in the order of their symbols, then merges', () => {
  const { model, added_tokens } = trainTokenizer(['aaaa aaaa'], {
    vocabularySize: 300,
    specialTokens: ['<s>', '</s>'],
  }).toJSON()
  assert.deepEqual(
    added_tokens.map(({ id, content, special }) => [id, content, special]),
    [
      [0, '<s>', true],
      [1, '</s>', true],
    ],
  )
  const symbols = [...BYTE_SYMBOLS].sort()
  assert.equal(symbols[0], '!')
  for (const [i, symbol] of symbols.entries()) assert.equal(model.vocab[symbol], 2 + i)
  // aaaa twice, once with a space: a+a occurs 3 + 3 times, then aa+aa 2.
  assert.deepEqual(model.merges, ['a a', 'aa aa'])
  assert.equal(model.vocab.aaaa, 2 + 256 + 1)
})

/** BPE as its definition says, counting everything anew for each merge. */
function naiveMerges(texts: string[], size: number): string[] {
  const tokens = ['<|endoftext|>', ...[...BYTE_SYMBOLS].sort()]
  const words = texts
    .flatMap(wordsOf)
    .map((word) => Array.from(Buffer.from(word), (byte) => tokens.indexOf(BYTE_SYMBOLS[byte])))
  const merges: string[] = []
  while (tokens.length < size) {
    const counts = new Map<string, number>()
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        const pair = `${word[i]} ${word[i + 1]}`
        counts.set(pair, (counts.get(pair) ?? 0) + 1)
      }
    }
    const parse = (pair: string) => pair.split(' ').map(Number)
    const ranked = [...counts].sort(([p, m], [q, n]) => {
      const [[a, b], [c, d]] = [parse(p), parse(q)]
      return n - m || a - c || b - d
    })
    if (ranked.length === 0 || ranked[0][1] < 2) break
    const [left, right] = parse(ranked[0][0])
    const text = tokens[left] + tokens[right]
    if (!tokens.includes(text)) tokens.push(text)
    const merge = `${tokens[left]} ${tokens[right]}`
    if (!merges.includes(merge)) merges.push(merge)
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        if (word[i] === left && word[i + 1] === right) word.splice(i, 2, tokens.indexOf(text))
      }
    }
  }
  return merges
}

const dense = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', 'ä'), maxLength: 60 }), { maxLength: 5 })

test('training merges what a trainer that counts everything anew merges', () => {
  fc.assert(
    fc.property(dense, fc.integer({ min: 258, max: 300 }), (texts, size) => {
      const { model } = trainTokenizer(texts, { vocabularySize: size }).toJSON()
      assert.deepEqual(model.merges, naiveMerges(texts, size))
    }),
    { numRuns: 150 },
  )
})

test('the order of the texts does not change the tokenizer', () => {
  fc.assert(
    fc.property(dense, fc.nat(), (texts, seed) => {
      const shuffled = new Random(seed).shuffle([...texts])
      assert.deepEqual(
        trainTokenizer(shuffled, { vocabularySize: 300 }).toJSON(),
        trainTokenizer(texts, { vocabularySize: 300 }).toJSON(),
      )
    }),
  )
})

test('encoding applies the merge of the lowest rank, leftmost first, until none is left', () => {
  const tokenizer = trainTokenizer(['aababcabcdabcde aabbaabb ababab '.repeat(3)], { vocabularySize: 290 })
  const { vocab, merges } = tokenizer.toJSON().model
  const naive = (word: string) => {
    const symbols = [...word].map((character) => (character === ' ' ? 'Ġ' : character))
    for (;;) {
      const ranks = symbols.map((symbol, i) => merges.indexOf(`${symbol} ${symbols[i + 1]}`))
      const best = Math.min(...ranks.filter((rank) => rank >= 0))
      if (best === Infinity) return symbols.map((symbol) => vocab[symbol])
      const at = ranks.indexOf(best)
      symbols.splice(at, 2, symbols[at] + symbols[at + 1])
    }
  }
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd', 'e', ' '), maxLength: 60 }), (text) => {
      assert.deepEqual([...tokenizer.encode(text)], wordsOf(text).flatMap(naive))
    }),
  )
})

test('decode undoes encode for every valid string, and half a surrogate pair becomes U+FFFD', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      assert.equal(trained.decode(trained.encode(text)), Buffer.from(text).toString())
    }),
    { numRuns: 2000 },
  )
  assert.equal(trained.decode(trained.encode('a\ud800b')), 'a\ufffdb')
  assert.equal(trained.decode(trained.encode('\ufeff')), '\ufeff')
})

test('words are cut as in GPT-2, and none is lost', () => {
  const cuts: [text: string, words: string[]][] = [
    ["it's we'll THEY'RE", ['it', "'s", ' we', "'ll", ' THEY', "'", 'RE']],
    ['in 1787,  two', ['in', ' 1787', ',', ' ', ' two']],
    ['a\n\n b \t', ['a', '\n\n', ' b', ' \t']],
    ['Ünïcode 漢字٣4½', ['Ünïcode', ' 漢字', '٣4½']],
    ['<|endoftext|>', ['<|', 'endoftext', '|>']],
    ['x\u0085\ufeffy', ['x', '\u0085', '\ufeff', 'y']],
  ]
  for (const [text, words] of cuts) assert.deepEqual(wordsOf(text), words)
  fc.assert(fc.property(anyText, (text) => assert.equal(wordsOf(text).join(''), text)))
})

test('text that spells a special token stays text unless it is allowed to be one', () => {
  const text = 'done<|endoftext|>again'
  assert.ok(!trained.encode(text).includes(trained.endOfText))
  assert.equal(trained.decode(trained.encode(text)), text)
  const allowed = trained.encode(text, { allowSpecial: true })
  assert.equal(allowed.filter((id) => id === trained.endOfText).length, 1)
  assert.equal(trained.decode(allowed, { keepSpecial: true }), text)
  assert.equal(trained.decode(allowed), 'doneagain')
  fc.assert(
    fc.property(anyText, (any) => {
      assert.ok(!trained.encode(any).includes(trained.endOfText))
      assert.equal(
        trained.decode(trained.encode(any, { allowSpecial: true }), { keepSpecial: true }),
        Buffer.from(any).toString(),
      )
    }),
  )
})

test('of special tokens that begin alike the longest is taken, with signs of patterns in their names', () => {
  const tokenizer = trainTokenizer(['x'], { vocabularySize: 260, specialTokens: ['[a]', '[a]+', '.*$'] })
  assert.deepEqual([...tokenizer.encode('[a]+[a].*$', { allowSpecial: true })], [1, 0, 2])
  assert.equal(tokenizer.endOfText, 0)
})

test('training text cannot teach ordinary text to encode to a special token', () => {
  const tokenizer = trainTokenizer(['stop stop stop stops'], { vocabularySize: 300, specialTokens: ['stop'] })
  assert.ok(!tokenizer.encode('stop stops').includes(0))
  assert.equal(tokenizer.decode(tokenizer.encode('stop stops')), 'stop stops')
})

test('frequent words are one token, which shortens text', () => {
  assert.deepEqual(tokensOf(trained, trained.encode(' people of the')), [' people', ' of', ' the'])
  assert.ok(trained.encode(PROSE).length < PROSE.length / 2)
})

test('a text too small for the size asked for gives fewer tokens', () => {
  assert.equal(trainTokenizer([], { vocabularySize: 5000 }).vocabularySize, 257)
})

test('a word of 200,000 letters is no attack', () => {
  const word = Array.from({ length: 200_000 }, (_, i) => 'eoplth'[(Math.imul(i, 2654435761) >>> 8) % 6]).join('')
  const begin = performance.now()
  assert.equal(trained.decode(trained.encode(word)), word)
  // n log n takes a fraction of a second, n² minutes.
  assert.ok(performance.now() - begin < 10_000)
})

test('an id that is no token is refused with its index', () => {
  for (const id of [360, -1, 1.5, Number.NaN]) {
    assert.throws(
      () => trained.decode([1, id]),
      (error) => error instanceof PrefgradError && error.code === 'ERR_ID_RANGE' && error.index === 1,
    )
  }
})

test('options that cannot be are refused', () => {
  for (const options of [
    { vocabularySize: 256 },
    { vocabularySize: 300.5 },
    { vocabularySize: 2 ** 30 },
    { vocabularySize: 300, specialTokens: [] },
    { vocabularySize: 300, specialTokens: ['<s>', '<s>'] },
    { vocabularySize: 300, specialTokens: [''] },
    { vocabularySize: 300, specialTokens: ['a'] },
    { vocabularySize: 300, specialTokens: ['\ud800'] },
  ]) {
    assert.throws(() => trainTokenizer(['text'], options), { code: 'ERR_OPTION' }, JSON.stringify(options))
  }
})

test('a saved tokenizer is loaded as it was', () => {
  const path = join(folder, 'tokenizer.json')
  trained.save(path)
  const loaded = Tokenizer.load(path)
  assert.deepEqual(loaded.toJSON(), trained.toJSON())
  assert.deepEqual(loaded.encode(PROSE), trained.encode(PROSE))
  assert.equal(loaded.vocabularySize, 360)
  assert.equal(loaded.endOfText, 0)
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), JSON.parse(JSON.stringify(trained)))
})

test('the forms of other writers are read: merges as pairs, absent fields, a special token only in added_tokens', () => {
  const json = trained.toJSON()
  const { '<|endoftext|>': _, ...vocab } = json.model.vocab
  const other = {
    added_tokens: json.added_tokens,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
    post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false },
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      continuing_subword_prefix: '',
      vocab,
      merges: json.model.merges.map((merge) => merge.split(' ')),
    },
  }
  assert.deepEqual(Tokenizer.fromJSON(other).toJSON(), json)
})

const REFUSED: [title: string, damage: (json: TokenizerJson) => void, reason: RegExp][] = [
  ['another model', (json) => Object.assign(json.model, { type: 'Unigram' }), /model\.type is "Unigram"/],
  ['no model', (json) => Object.assign(json, { model: null }), /model\.type is missing/],
  [
    'another way to cut words',
    (json) => Object.assign(json.pre_tokenizer, { type: 'Metaspace' }),
    /pre_tokenizer\.type/,
  ],
  ['a space put in front', (json) => Object.assign(json.pre_tokenizer, { add_prefix_space: true }), /add_prefix_space/],
  ['words not cut', (json) => Object.assign(json.pre_tokenizer, { use_regex: false }), /use_regex/],
  ['another decoder', (json) => Object.assign(json.decoder, { type: 'WordPiece' }), /decoder\.type/],
  [
    'tokens added at the ends',
    (json) => Object.assign(json, { post_processor: { type: 'TemplateProcessing' } }),
    /post_processor/,
  ],
  ['a normalizer', (json) => Object.assign(json, { normalizer: { type: 'NFC' } }), /normalizer/],
  ['dropout', (json) => Object.assign(json.model, { dropout: 0.1 }), /model\.dropout/],
  ['an id twice', (json) => Object.assign(json.model.vocab, { e: 5 }), /the id 5 belongs to/],
  ['an id beyond the vocabulary', (json) => Object.assign(json.model.vocab, { e: 4e9 }), /the id of "e" is 4000000000/],
  ['a negative id', (json) => Object.assign(json.model.vocab, { e: -1 }), /the id of "e" is -1/],
  ['an id that is no number', (json) => Object.assign(json.model.vocab, { e: '7' }), /the id of "e" is "7"/],
  ['a missing byte', (json) => delete json.model.vocab['!'], /no token has the id 1/],
  ['a token in other letters', (json) => respellLast(json, '漢'), /"漢" is not spelled in byte symbols/],
  ['a merge of unknown tokens', (json) => json.model.merges.push('qqq e'), /is no pair of tokens/],
  ['a merge of three', (json) => json.model.merges.push('a b c'), /is no pair of tokens/],
  ['a merge without result', (json) => json.model.merges.push('q q'), /makes "qq", which model\.vocab lacks/],
  ['a merge twice', (json) => json.model.merges.push(json.model.merges[0]), /repeats/],
  ['a merge into a special token', makeFirstMergeSpecial, /makes the special token "\S+" out of ordinary text/],
  ['a special token with two ids', (json) => Object.assign(json.added_tokens[0], { id: 3 }), /has the ids 0 and 3/],
  ['no special token', (json) => json.added_tokens.pop(), /no special token/],
  ['a special token twice', (json) => json.added_tokens.push(json.added_tokens[0]), /names a token twice/],
  [
    'an added token that is ordinary',
    (json) => Object.assign(json.added_tokens[0], { special: false }),
    /special: true/,
  ],
]

/** Gives the id of the last token to another spelling. */
function respellLast(json: TokenizerJson, to: string): void {
  const last = Object.keys(json.model.vocab).find((token) => json.model.vocab[token] === 359) as string
  json.model.merges = json.model.merges.filter((merge) => merge.replace(' ', '') !== last)
  delete json.model.vocab[last]
  json.model.vocab[to] = 359
}

function makeFirstMergeSpecial(json: TokenizerJson): void {
  const content = json.model.merges[0].replace(' ', '')
  Object.assign(json.added_tokens[0], { content, id: json.model.vocab[content] })
}

for (const [title, damage, reason] of REFUSED) {
  test(`${title}: a tokenizer.json that would be applied wrongly is refused`, () => {
    const json = trained.toJSON()
    damage(json)
    assert.throws(
      () => Tokenizer.fromJSON(json),
      (error) => {
        assert.ok(error instanceof PrefgradError, String(error))
        assert.equal(error.code, 'ERR_FILE')
        assert.match(error.message, reason)
        return true
      },
    )
  })
}

test('a file that is missing, not JSON or not UTF-8 is refused with its path', () => {
  const path = join(folder, 'bad.json')
  const load = (bytes: Uint8Array) => {
    writeFileSync(path, bytes)
    return () => Tokenizer.load(path)
  }
  const named = (error: unknown) =>
    error instanceof PrefgradError && error.code === 'ERR_FILE' && error.message.includes(path)
  assert.throws(() => Tokenizer.load(join(folder, 'missing.json')), { code: 'ERR_FILE' })
  assert.throws(load(Buffer.from('{"model":')), named)
  assert.throws(load(Buffer.from([0x22, 0xff, 0x22])), named)
  for (const text of ['null', '[]', '7', '{}', '"x"']) assert.throws(load(Buffer.from(text)), named, text)
})
