/** Philox4x32-10: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3. */

const MASK = 0xffffffffn
const MULTIPLIERS = [0xd2511f53n, 0xcd9e8d57n] as const
/** Weyl increments of the key: the golden ratio, and sqrt(3) - 1. */
const INCREMENTS = [0x9e3779b9n, 0xbb67ae85n] as const

export type Words4 = readonly [bigint, bigint, bigint, bigint]
export type Words2 = readonly [bigint, bigint]

/** Four random words (32 bits each) for a counter and a key. */
export function philox4x32(counter: Words4, key: Words2): Words4 {
  let [c0, c1, c2, c3] = counter
  let [k0, k1] = key
  for (let round = 0; round < 10; round++) {
    const first = MULTIPLIERS[0] * c0
    const second = MULTIPLIERS[1] * c2
    ;[c0, c1, c2, c3] = [(second >> 32n) ^ c1 ^ k0, second & MASK, (first >> 32n) ^ c3 ^ k1, first & MASK]
    k0 = (k0 + INCREMENTS[0]) & MASK
    k1 = (k1 + INCREMENTS[1]) & MASK
  }
  return [c0, c1, c2, c3]
}

/** The 64 random bits of one draw: seed is the key; counter and stream (as an unsigned 32-bit number) are the counter. */
export function draw64(seed: bigint, counter: bigint, stream: number): bigint {
  const [w0, w1] = philox4x32([counter & MASK, counter >> 32n, BigInt(stream >>> 0), 0n], [seed & MASK, seed >> 32n])
  return (w1 << 32n) | w0
}
