import { PrefgradError } from './errors.ts'

/** Everything a {@link Random} needs to go on where it stopped; survives JSON unchanged. */
export interface RandomState {
  readonly algorithm: 'xoshiro128**'
  /** The generator's four 32-bit words, not all zero. */
  readonly words: readonly [number, number, number, number]
  /** The second of a pair of normal numbers that is still to be handed out. */
  readonly spareNormal: number | null
}

const TWO_32 = 2 ** 32
const TWO_53 = 2 ** 53

/**
 * A seeded source of random numbers: xoshiro128** 1.1 (Blackman and Vigna, "Scrambled linear pseudorandom number
 * generators", 2021) with its words filled by SplitMix64, as its authors advise. Period 2^128 − 1.
 *
 * The same seed gives the same numbers on every platform: only integer operations and the correctly rounded
 * `+ − × ÷ sqrt` of IEEE 754 are used, never `Math.log` or `Math.cos`, whose last bits are the engine's choice.
 * Not for cryptography.
 */
export class Random {
  #a: number
  #b: number
  #c: number
  #d: number
  #spareNormal: number | null = null

  /**
   * @param seed an integer from 0 to 2^53 − 1, or a bigint from 0 to 2^64 − 1.
   * @throws PrefgradError `ERR_OPTION` for anything else.
   */
  constructor(seed: number | bigint) {
    const words = seedWords(seed)
    this.#a = words[0]
    this.#b = words[1]
    this.#c = words[2]
    this.#d = words[3]
  }

  /** The next 32 random bits, as an integer from 0 to 2^32 − 1. */
  uint32(): number {
    const scrambled = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = rotateLeft(this.#d, 11)
    return scrambled
  }

  /** Uniform in [0, 1): a multiple of 2^−53. */
  next(): number {
    return this.#uint53() / TWO_53
  }

  /**
   * Uniform in 0 … n − 1, without the bias of `floor(next() · n)`: draws beyond the largest multiple of n are refused.
   * @param n an integer from 1 to 2^53 − 1.
   * @throws PrefgradError `ERR_OPTION` for another n.
   */
  integer(n: number): number {
    if (!Number.isSafeInteger(n) || n < 1) {
      throw new PrefgradError('ERR_OPTION', `Random.integer got n = ${String(n)}.`, {
        arg: 'n',
        value: n,
        fix: 'Give an integer from 1 to 2^53 − 1.',
      })
    }
    const range = n <= TWO_32 ? TWO_32 : TWO_53
    const limit = range - (range % n)
    for (;;) {
      const drawn = range === TWO_32 ? this.uint32() : this.#uint53()
      if (drawn < limit) return drawn % n
    }
  }

  /** Standard normal (mean 0, variance 1) by Marsaglia's polar method, "A convenient method…", SIAM Review 6 (1964). */
  normal(): number {
    const spare = this.#spareNormal
    if (spare !== null) {
      this.#spareNormal = null
      return spare
    }
    for (;;) {
      const x = 2 * this.next() - 1
      const y = 2 * this.next() - 1
      const square = x * x + y * y
      if (square > 0 && square < 1) {
        const scale = Math.sqrt((-2 * portableLog(square)) / square)
        this.#spareNormal = y * scale
        return x * scale
      }
    }
  }

  /** Shuffles in place (Fisher-Yates; every order equally likely) and returns the same array. */
  shuffle<T>(array: T[]): T[] {
    for (let last = array.length - 1; last > 0; last--) {
      const chosen = this.integer(last + 1)
      const moved = array[last]
      array[last] = array[chosen]
      array[chosen] = moved
    }
    return array
  }

  /** A copy of the state; {@link Random.fromState} goes on from it with the very same numbers. */
  state(): RandomState {
    return {
      algorithm: 'xoshiro128**',
      words: [this.#a >>> 0, this.#b >>> 0, this.#c >>> 0, this.#d >>> 0],
      spareNormal: this.#spareNormal,
    }
  }

  /** @throws PrefgradError `ERR_OPTION` when `state` is not what {@link Random.state} gives. */
  static fromState(state: RandomState): Random {
    if (!isRandomState(state)) {
      throw new PrefgradError('ERR_OPTION', `This is not the state of a Random: ${JSON.stringify(state)}.`, {
        arg: 'state',
        value: state,
        fix: 'Give what Random.state() returned.',
      })
    }
    const random = new Random(0)
    random.#a = state.words[0]
    random.#b = state.words[1]
    random.#c = state.words[2]
    random.#d = state.words[3]
    random.#spareNormal = state.spareNormal
    return random
  }

  #uint53(): number {
    const high = this.uint32() >>> 5
    const low = this.uint32() >>> 6
    return high * 2 ** 26 + low
  }
}

/**
 * SplitMix64 (Steele, Lea and Flood 2014): the n-th number from `seed`, counted from 0. Each seed bit reaches every
 * output bit, so that neighbouring seeds give unrelated streams.
 */
export function splitMix64(seed: bigint, n: number): bigint {
  let mixed = BigInt.asUintN(64, seed + BigInt(n + 1) * 0x9e3779b97f4a7c15n)
  mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n)
  mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn)
  return mixed ^ (mixed >> 31n)
}

function seedWords(seed: number | bigint): [number, number, number, number] {
  const valid = typeof seed === 'bigint' ? seed >= 0n && seed < 1n << 64n : Number.isSafeInteger(seed) && seed >= 0
  if (!valid) {
    throw new PrefgradError('ERR_OPTION', `The seed is ${String(seed)}.`, {
      arg: 'seed',
      value: seed,
      fix: 'Give an integer from 0 to 2^53 − 1, or a bigint from 0 to 2^64 − 1.',
    })
  }
  const first = splitMix64(BigInt(seed), 0)
  const second = splitMix64(BigInt(seed), 1)
  return [lowWord(first), highWord(first), lowWord(second), highWord(second)]
}

const lowWord = (bits: bigint) => Number(bits & 0xffffffffn)
const highWord = (bits: bigint) => Number(bits >> 32n)
const rotateLeft = (word: number, count: number) => (word << count) | (word >>> (32 - count))

function isRandomState(state: RandomState): boolean {
  const isWord = (word: unknown) => Number.isInteger(word) && (word as number) >= 0 && (word as number) < TWO_32
  return (
    state?.algorithm === 'xoshiro128**' &&
    Array.isArray(state.words) &&
    state.words.length === 4 &&
    state.words.every(isWord) &&
    state.words.some((word) => word !== 0) &&
    (state.spareNormal === null || Number.isFinite(state.spareNormal))
  )
}

/**
 * Natural logarithm of a number in (0, 1), within 5e-16 relative: x = m·2^k with m in [√½, √2) and
 * ln m = 2·artanh((m − 1)/(m + 1)) by its series. Every operation is correctly rounded, hence portable.
 */
function portableLog(x: number): number {
  let mantissa = x
  let exponent = 0
  // The argument is a sum of squares of multiples of 2^-52, so at least 2^-104: this ends after 104 exact doublings.
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2
    exponent -= 1
  }
  const z = (mantissa - 1) / (mantissa + 1)
  const square = z * z
  let series = 0
  for (let power = 21; power >= 1; power -= 2) series = series * square + 1 / power
  return exponent * Math.LN2 + 2 * z * series
}
