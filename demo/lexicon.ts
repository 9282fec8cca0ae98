import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PrefgradError } from '../lib/errors.ts'
import { STOP_WORDS } from './stop_words.ts'
import { packageFolder } from './text.ts'

/** How many people rated each word. */
export const RATERS = 10

/** A lower-case word to its ten human ratings, each an integer from −4 (very negative) to 4 (very positive). */
export type Lexicon = ReadonlyMap<string, Int8Array>

/** The two halves of the lexicon. No word family is in both. */
export interface LexiconHalves {
  /** Labels the training pairs. */
  readonly proxy: Lexicon
  /** Judges the trained policies; training never sees it. Always cleaned. */
  readonly gold: Lexicon
}

const PACKAGE = 'vader-sentiment'
/**
 * The smallest number that splits fairly: of the ratings that the addresses contain, the gold half gets between 49 and
 * 51 % of the positive sum and of the negative sum, and between 48 and 52 % of each after 1960. Chosen by these counts
 * alone, before anything was trained; test/demo_data.test.ts counts again.
 */
const SPLIT_SALT = 773

/**
 * The VADER lexicon (Hutto and Gilbert 2014) from the installed package: its purely alphabetic entries, each with the
 * ten ratings of its last column. Emoticons and entries of several words cannot occur in the demo's text.
 *
 * @throws PrefgradError `ERR_FILE` when the package is missing, `ERR_DATA` for a word without its ten ratings.
 */
export function loadLexicon(): Lexicon {
  const path = join(packageFolder(PACKAGE), 'vader_lexicon.txt')
  const lexicon = new Map<string, Int8Array>()
  for (const [index, line] of readFileSync(path, 'utf8').split('\n').entries()) {
    const [word, , , column] = line.split('\t')
    if (!/^[a-z]+$/.test(word)) continue
    const ratings = column?.match(/-?\d+/g)?.map(Number) ?? []
    if (ratings.length !== RATERS || ratings.some((rating) => Math.abs(rating) > 4)) {
      throw new PrefgradError('ERR_DATA', `Line ${index + 1} of ${path} has the ratings ${column} for "${word}".`, {
        arg: PACKAGE,
        index: index + 1,
        value: column,
        fix: 'Run npm ci to install the version in package-lock.json.',
      })
    }
    lexicon.set(word, Int8Array.from(ratings))
  }
  return lexicon
}

/** The lexicon without the words of `demo/stop_words.ts`. */
export function cleanLexicon(lexicon: Lexicon): Lexicon {
  return new Map([...lexicon].filter(([word]) => !Object.hasOwn(STOP_WORDS, word)))
}

/**
 * Divides the lexicon by a hash of each word's family. With `raw` the stop words are put back on the proxy's side, and
 * there only: the flawed labeller of `--goodhart`, judged by the same gold words as ever.
 */
export function splitLexicon(lexicon: Lexicon, { raw = false }: { raw?: boolean } = {}): LexiconHalves {
  const clean = cleanLexicon(lexicon)
  const isGold = (word: string) => clean.has(word) && hashBit(familyOf(word))
  return {
    proxy: new Map([...(raw ? lexicon : clean)].filter(([word]) => !isGold(word))),
    gold: new Map([...clean].filter(([word]) => isGold(word))),
  }
}

const SUFFIXES =
  'fully fulness lessness iveness ousness ment ness less ful able ible ation tion sion ity ive ous dom ship ' +
  'ing ies ied ier iest ily est ers ed er es al ly en ty s'
const SUFFIX = new RegExp(`(?:${SUFFIXES.replaceAll(' ', '|')})$`)

/** Roots that change in the middle; only those that are common in the addresses. */
const IRREGULAR: Readonly<Record<string, string>> = {
  best: 'good',
  better: 'good',
  dead: 'death',
  die: 'death',
  died: 'death',
  dying: 'death',
  loss: 'lose',
  losses: 'lose',
  lost: 'lose',
  poor: 'poverty',
  pride: 'proud',
  strong: 'strength',
  stronger: 'strength',
  strongest: 'strength',
  strongly: 'strength',
  won: 'win',
  worse: 'bad',
  worst: 'bad',
}

/**
 * A key that words of one root share, so that "hope", "hopes", "hoping" and "hopeful" fall on one side: suffixes go
 * while three letters remain, then a final vowel or doubled consonant, then all after the fourth letter. It also joins
 * strangers ("hop" with "hope", "prosper" with "prospect"), which makes the split coarser but leaks nothing.
 */
export function familyOf(word: string): string {
  let stem = Object.hasOwn(IRREGULAR, word) ? IRREGULAR[word] : word
  for (;;) {
    const shorter = stem.replace(SUFFIX, '')
    if (shorter === stem || shorter.length < 3) break
    stem = shorter
  }
  return stem
    .replace(/(?<=..)[eiy]$/, '')
    .replace(/(?<=..)([^aeiou])\1$/, '$1')
    .slice(0, 4)
}

/** sha256 over the words and ratings: what a run's card records as its labeller. */
export function lexiconDigest(lexicon: Lexicon): string {
  const hash = createHash('sha256')
  for (const word of [...lexicon.keys()].sort()) hash.update(`${word}\t${lexicon.get(word)!.join(' ')}\n`)
  return hash.digest('hex')
}

function hashBit(family: string): boolean {
  return (createHash('sha256').update(`${SPLIT_SALT}:${family}`).digest()[0] & 1) === 1
}
