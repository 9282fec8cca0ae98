/** A bench for tests: one thread, one sample, no ceilings, and whichever peers. */
import { Bench } from '../bench/measure.ts'
import type { Peer } from '../bench/types.ts'

export const benchWith = (...peers: Peer[]): Bench =>
  new Bench({ ceilings: undefined, peers, threads: [1], repeats: 1, isHasty: false, progress: () => {} })
