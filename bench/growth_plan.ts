/** Which sizes a sweep goes through. */
import type { Family } from './cases/index.ts'

/** One op against one of its sizes, the others fixed. */
export interface Sweep {
  family: Family
  letter: string
  /** The other sizes: 'V = 32000'. */
  fixed: string
  shapeAt(size: number): number[]
}

/** Sizes that stay while another grows. Sizes that are not here stay at {@link OTHERS}. */
const FIXED: Readonly<Record<string, number>> = { N: 64, V: 32_000, B: 64, T: 512, M: 256, K: 256, P: 1_000_000 }
const OTHERS = 64
/** Whole models, of a million parameters: sequences of the demo's length. */
const FIXED_MODEL: Readonly<Record<string, number>> = { M: 1, B: 8, T: 64 }

/** Is it a whole model, and no op? */
export const isModel = (op: string): boolean => /^model|Step$/.test(op)

/** A sweep for every letter of the family's shape, but for the size of a model, of which there are few. */
export const sweepsOf = (family: Family): Sweep[] => {
  const letters = family.letters.split('x')
  const fixedAt = (letter: string): number => (isModel(family.op) ? FIXED_MODEL : FIXED)[letter] ?? OTHERS
  const grown = letters.filter((letter) => !(isModel(family.op) && letter === 'M'))
  return grown.map((letter) => ({
    family,
    letter,
    fixed: letters
      .filter((other) => other !== letter)
      .map((other) => `${other} = ${fixedAt(other)}`)
      .join(', '),
    shapeAt: (size) => letters.map((other) => (other === letter ? size : fixedAt(other))),
  }))
}

/** 1, 3, 10, 30, ... */
export const sizeAt = (i: number): number => 10 ** Math.floor(i / 2) * (i % 2 === 0 ? 1 : 3)

export interface Limits {
  /** Tensors of one call. */
  bytes: number
  /** One call. */
  ms: number
}

/** Why the next size is too much, judged by the one before; undefined: it is not. Cost is taken to grow with the size. */
export const tooMuch = (
  { size, bytes, ms }: { size: number; bytes: number; ms: number },
  next: number,
  limits: Limits,
): string | undefined => {
  const factor = next / size
  if (bytes * factor > limits.bytes) return `more than ${Math.round(limits.bytes / 2 ** 20)} MiB of tensors`
  if (ms * factor > limits.ms) return `more than ${limits.ms / 1000} s a call`
  return undefined
}
