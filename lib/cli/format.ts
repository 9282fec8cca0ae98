/** Numbers and words as people read them. */

/** `1,234,567`. */
export const count = (n: number): string => n.toLocaleString('en-US')

/** `3 steps`, `1 step`. */
export const plural = (n: number, noun: string): string => `${count(n)} ${noun}${n === 1 ? '' : 's'}`

const UNITS = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z']

/** `1.23 T`: three digits and the unit's prefix. */
export const scaled = (n: number): string => {
  const power = n < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(n) / 3))
  return `${Number((n / 1000 ** power).toPrecision(3))} ${UNITS[power]}`
}

/** `72.3 %`. */
export const percent = (share: number): string => (Number.isNaN(share) ? 'none' : `${(100 * share).toFixed(1)} %`)

/** Four significant digits, or as many as a small number needs. */
export const digits = (x: number): string => (Number.isFinite(x) ? String(Number(x.toPrecision(4))) : String(x))

/** A command line that can be pasted into a shell. */
export const shellLine = (words: readonly string[]): string =>
  words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ')

/** Control characters escaped, but for line ends and tabs: no text may steer the terminal. */
export const printable = (text: string): string =>
  text.replace(/[^\P{Control}\n\t]/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
