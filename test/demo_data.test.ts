import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { cleanLexicon, familyOf, type Lexicon, lexiconDigest, loadLexicon, splitLexicon } from '../demo/lexicon.ts'
import { wordPreference, wordsOf } from '../demo/preference.ts'
import { extractPrompts, type PromptTokenizer, sentenceStarts } from '../demo/prompts.ts'
import { STOP_WORDS } from '../demo/stop_words.ts'
import { type Address, loadAddresses, normalizeText, packageFolder, splitOf, textDigest } from '../demo/text.ts'
import { PrefgradError } from '../lib/errors.ts'

const addresses = loadAddresses()
const raw = loadLexicon()
const halves = splitLexicon(raw)

/** A tokenizer of whole words (and pieces of long ones), each with the space before it. */
function wordTokenizer(): PromptTokenizer {
  const pieces: string[] = []
  const ids = new Map<string, number>()
  const idOf = (piece: string) => {
    if (!ids.has(piece)) ids.set(piece, pieces.push(piece) - 1)
    return ids.get(piece)!
  }
  return {
    encode: (text) => Int32Array.from(text.match(/ ?[^ ]{1,6}/g) ?? [], idOf),
    decode: (tokens) => Array.from(tokens, (id) => pieces[id]).join(''),
  }
}

describe('text', () => {
  test('the 233 addresses are the very ones that the committed checkpoint was trained on', () => {
    assert.equal(addresses.length, 233)
    assert.equal(textDigest(addresses), '72d03fd5c1336d2dc30959e213f7898445b77b1dc4ef3d8373a8bd5920905cc9')
  })

  test('an address is one line of printable ASCII without stage directions', () => {
    for (const { text, year } of addresses) {
      assert.match(text, /^[ -~]+$/, `${year}`)
      assert.doesNotMatch(text, / {2}|\[applause|\(laughter|&quot;|__|\*/i, `${year}`)
    }
  })

  test('typographic signs become ASCII and stage directions go', () => {
    assert.equal(
      normalizeText('We “won’t” stop—never. [Applause] naïve [1] at 54° 40’,\nfor ____ each * * * .'),
      'We "won\'t" stop--never. naive at 54 degrees 40\', for each.',
    )
  })

  test('each split has whole addresses of every century and of six or four presidents after 1960', () => {
    const years = (split: Address['split']) => addresses.filter((a) => a.split === split).map(({ year }) => year)
    assert.deepEqual([years('train').length, years('validation').length, years('heldOut').length], [198, 12, 23])
    assert.deepEqual(
      years('heldOut').filter((year) => year > 1960),
      [1963, 1973, 1983, 1993, 2003, 2013],
    )
    assert.deepEqual(
      years('validation').filter((year) => year > 1960),
      [1961, 1980, 2000, 2020],
    )
    assert.equal(years('heldOut').filter((year) => year < 1900).length, 11)
    assert.ok(addresses.every(({ index, split }) => split === splitOf(index)))
  })
})

describe('prompts', () => {
  const request = { split: 'heldOut', count: 256, seed: 7, from: 1961 } as const
  const prompts = extractPrompts(addresses, wordTokenizer(), request)

  test('a prompt is 16 tokens from the start of a sentence to the end of a word, of the years asked for', () => {
    assert.equal(prompts.length, 256)
    for (const { tokens, text, year, address, offset } of prompts) {
      const source = addresses[address]
      assert.equal(tokens.length, 16)
      assert.ok(source.split === 'heldOut' && source.year === year && year >= 1961)
      assert.ok(source.text.startsWith(text, offset))
      assert.match(text, /^ ["']?[A-Z]/)
      assert.doesNotMatch(source.text[offset + text.length], /[A-Za-z]/)
    }
  })

  test('the same seed gives the same prompts, another seed others', () => {
    const texts = (seed: number) => extractPrompts(addresses, wordTokenizer(), { ...request, seed }).map((p) => p.text)
    assert.deepEqual(
      texts(7),
      prompts.map((p) => p.text),
    )
    assert.notDeepEqual(texts(8), texts(7))
  })

  test('no two prompts begin alike, and no held-out prompt begins like a training sentence', () => {
    const opening = (text: string) => text.slice(0, 32).toLowerCase()
    assert.equal(new Set(prompts.map(({ text }) => opening(text))).size, prompts.length)
    const trained = new Set<string>()
    for (const { text, split } of addresses) {
      if (split === 'train')
        for (const start of sentenceStarts(text)) trained.add(opening(text.slice(start, start + 32)))
    }
    assert.ok(trained.size > 40_000)
    assert.ok(prompts.every(({ text }) => !trained.has(opening(text))))
  })

  test('a capital after an abbreviation does not start a sentence', () => {
    const text = 'Well. Mr. Speaker, the U.S. Army met Gen. Lee. "So," he said. Yes! And no.'
    assert.deepEqual(
      sentenceStarts(text).map((start) => text.slice(start + 1, start + 4)),
      ['Mr.', '"So', 'Yes', 'And'],
    )
  })

  test('more prompts than there are is refused with the number there is', () => {
    assert.throws(
      () => extractPrompts(addresses, wordTokenizer(), { split: 'validation', count: 5000, seed: 1, from: 1961 }),
      (error) =>
        error instanceof PrefgradError && /^Only \d+ of 5000 prompts are in validation from 1961\./.test(error.message),
    )
  })

  test('a tokenizer that changes the text is refused', () => {
    const lossy = { ...wordTokenizer(), decode: () => 'lower case' }
    assert.throws(() => extractPrompts(addresses, lossy, { split: 'train', count: 1, seed: 1 }), { code: 'ERR_DATA' })
  })
})

describe('lexicon', () => {
  test('every word has ten ratings, and they are the published ones', () => {
    assert.equal(raw.size, 7206)
    assert.deepEqual([...raw.get('united')!], [1, 2, 2, 2, 1, 2, 2, 1, 2, 3])
    assert.equal(lexiconDigest(raw), '392de3e5a87301a9551d8220280adaa05f24a3940ad9610b1531f396f60c45df')
  })

  test('each stop word is in the lexicon, has a reason, and is in neither half', () => {
    for (const [word, reason] of Object.entries(STOP_WORDS)) {
      assert.ok(raw.has(word), word)
      assert.ok(reason.length > 5, word)
      assert.ok(!halves.proxy.has(word) && !halves.gold.has(word), word)
    }
    assert.equal(cleanLexicon(raw).size, raw.size - Object.keys(STOP_WORDS).length)
  })

  test('a word and its relatives fall into one family', () => {
    for (const family of [
      ['hope', 'hopes', 'hoped', 'hoping', 'hopeful', 'hopefully', 'hopeless', 'hopelessness'],
      ['peace', 'peaceful', 'peacefully', 'peaceable', 'peacetime'],
      ['free', 'freedom', 'freedoms', 'freely'],
      ['success', 'successful', 'succeed', 'succeeded'],
      ['happy', 'happier', 'happily', 'happiness'],
      ['win', 'wins', 'winner', 'winning', 'won'],
      ['strong', 'stronger', 'strength', 'strengthen'],
      ['good', 'better', 'best'],
      ['terror', 'terrorist', 'terrorism'],
    ]) {
      assert.deepEqual(new Set(family.map(familyOf)).size, 1, `${family.map((word) => `${word}: ${familyOf(word)}`)}`)
    }
    assert.notEqual(familyOf('hope'), familyOf('help'))
  })

  test('the halves share no family and together are the cleaned lexicon', () => {
    const proxyFamilies = new Set([...halves.proxy.keys()].map(familyOf))
    assert.ok([...halves.gold.keys()].every((word) => !proxyFamilies.has(familyOf(word))))
    assert.equal(halves.proxy.size + halves.gold.size, cleanLexicon(raw).size)
  })

  test('the raw proxy adds the stop words and nothing of the gold half', () => {
    const flawed = splitLexicon(raw, { raw: true })
    assert.deepEqual([...flawed.gold.keys()], [...halves.gold.keys()])
    assert.equal(flawed.proxy.size, halves.proxy.size + Object.keys(STOP_WORDS).length)
    assert.ok(flawed.proxy.has('united'))
  })

  test('the README counts the words of the lexicon as they are', () => {
    const readme = readFileSync(join(packageFolder('vader-sentiment'), '..', '..', 'demo', 'README.md'), 'utf8')
    assert.ok(readme.includes(`${Object.keys(STOP_WORDS).length} words are removed`))
    const counts = new Map<string, { all: number; modern: number }>()
    for (const { text, year } of addresses) {
      for (const word of wordsOf(text)) {
        const { all, modern } = counts.get(word) ?? { all: 0, modern: 0 }
        counts.set(word, { all: all + 1, modern: modern + (year > 1960 ? 1 : 0) })
      }
    }
    for (const [name, lexicon] of Object.entries({
      raw,
      cleaned: cleanLexicon(raw),
      'proxy half': halves.proxy,
      'gold half': halves.gold,
    })) {
      const found = [...lexicon.keys()].flatMap((word) => counts.get(word) ?? [])
      const sum = (key: 'all' | 'modern') => found.reduce((total, count) => total + count[key], 0)
      const row = [found.length, sum('all'), sum('modern')].map((count) => count.toLocaleString('en-US'))
      assert.ok(readme.includes(`| ${name} | ${row.join(' | ')} |`), `${name} | ${row.join(' | ')}`)
    }
  })

  test('the salt splits what the addresses contain in half, as its comment says', () => {
    for (const [from, low] of [
      [1790, 0.49],
      [1961, 0.48],
    ]) {
      const words = addresses.filter(({ year }) => year >= from).flatMap(({ text }) => wordsOf(text))
      const weight = (lexicon: Lexicon, sign: number) => {
        const means = new Map([...lexicon].map(([word, ratings]) => [word, ratings.reduce((a, b) => a + b, 0)]))
        return words.reduce((sum, word) => sum + Math.max(0, sign * (means.get(word) ?? 0)), 0)
      }
      for (const sign of [1, -1]) {
        const gold = weight(halves.gold, sign)
        const share = gold / (gold + weight(halves.proxy, sign))
        assert.ok(share >= low && share <= 1 - low, `from ${from}, sign ${sign}: ${share}`)
      }
    }
  })
})

describe('preference', () => {
  // Two columns carry the story: column 0 and columns 1 to 9.
  const rated = (first: number, others: number) => Int8Array.from([first, ...Array<number>(9).fill(others)])
  const lexicon: Lexicon = new Map([
    ['peace', rated(1, 3)],
    ['war', rated(-1, -3)],
    ['hope', rated(2, 2)],
    ['won', rated(4, 4)],
  ])
  const { compare, ratings, score } = wordPreference(lexicon)

  test('ratings are sums per column, and the score is their mean', () => {
    assert.deepEqual([...ratings('Peace, PEACE and hope!')], [1 + 1 + 2, ...Array(9).fill(3 + 3 + 2)])
    assert.equal(score('Peace, PEACE and hope!'), (4 + 9 * 8) / 10)
    assert.equal(score('war'), (-1 - 27) / 10)
  })

  test('the preference is the share of columns that favour a text, a tie counting one half', () => {
    assert.equal(compare('peace', 'war'), 1)
    assert.equal(compare('peace', 'hope'), 0.9) // column 0: 1 < 2; columns 1 to 9: 3 > 2
    assert.equal(compare('peace war', 'nothing at all'), 0.5)
    assert.equal(compare('', ''), 0.5)
    const mixed = wordPreference(new Map([['fair', rated(0, 1)]]))
    assert.equal(mixed.compare('fair', ''), 0.95) // column 0 ties: ½; nine columns favour the first
  })

  test('swapping the two texts gives one minus the preference', () => {
    const real = wordPreference(halves.proxy)
    for (let i = 0; i + 400 < 40_000; i += 400) {
      const [a, b] = [addresses[200].text.slice(i, i + 200), addresses[200].text.slice(i + 200, i + 400)]
      assert.equal(Math.round(20 * real.compare(a, b)), 20 - Math.round(20 * real.compare(b, a)))
    }
  })

  test('case and punctuation do not matter, apostrophes hold words together', () => {
    assert.deepEqual(wordsOf('"We WON\'T," said America\'s peace-maker: hope.'), [
      'we',
      "won't",
      'said',
      'america',
      'peace',
      'maker',
      'hope',
    ])
    assert.equal(score("won't"), 0)
  })

  test('a fragment that completes the last word of the prompt is not read', () => {
    assert.equal(score('less war', ' we hope'), score('war'))
    assert.equal(score(' war', ' we hope'), score('war'))
    assert.equal(score('peace', ' In 1945,'), score('peace'))
    assert.equal(compare('war', 'peace', ' post'), 0.5)
  })
})
