/** Sample rows of logits, for tokenLogprobs and its backward pass. */
import { chance, f32, fill, normals, typed } from './draw.ts'
import { round } from './numbers.ts'
import type { Inputs, Options, RandomSource, Values } from './types.ts'

export type LogitType = 'f32' | 'bf16' | 'f16'

/** Logits as the kernel will see them, rounded here so that a backward sample can be made from them. */
export const logitsOf = (data: ArrayLike<number>, shape: readonly number[], dtype: LogitType = 'f32'): Values =>
  typed(
    dtype,
    fill(data.length, (k) => round(data[k], dtype)),
    shape,
  )

/** Normal logits, tokens at random: every third row asks for the likeliest one, `ignored` rows for none. */
export function drawLogits(
  random: RandomSource,
  N: number,
  V: number,
  dtype: LogitType,
  spread = 3,
  ignored = 0,
): Inputs {
  const logits = logitsOf(normals(random, N * V, spread), [N, V], dtype)
  const tokens = fill(N, (i) => {
    if (chance(random, ignored)) return -100
    if (i % 3 !== 2) return random.integer(0, V - 1)
    let top = 0
    for (let j = 1; j < V; j++) if (logits.data[i * V + j] > logits.data[i * V + top]) top = j
    return top
  })
  return { logits, tokens: typed('i32', tokens) }
}

const rows = (data: number[][], tokens: number[], dtype: LogitType = 'f32'): Inputs => ({
  logits: logitsOf(data.flat(), [data.length, data[0].length], dtype),
  tokens: typed('i32', tokens),
})

const { POSITIVE_INFINITY: INF, NEGATIVE_INFINITY: NINF } = Number

/** p -> 1 among 131072: what is left has to come out of log1p of the rest. */
export function nearlyCertain(random: RandomSource, V: number, top: number, at: number): Inputs {
  const data = normals(random, V)
  data[at] = top
  return { logits: logitsOf(data, [1, V]), tokens: typed('i32', [at]) }
}

/** Long rows whose largest logit lies far off or moves, and rows of which most is masked. One row a sample: rows are alone. */
export function longRows(random: RandomSource): { name: string; inputs: Inputs }[] {
  const V = 9001
  const shapes: Record<string, (j: number) => number> = {
    'climbs from -10 to 110': (j) => (120 * j) / V - 10,
    'climbs from -300': (j) => (250 * j) / V - 300,
    'climbs but stays below 0': (j) => (8 * j) / V - 14,
    'climbs out of 40': (j) => 35 + (10 * j) / V,
    'falls from 60': (j) => 60 - (90 * j) / V,
    'lies at -90, with one 3 behind it': (j) => (j === 4900 ? 3 : -90),
    'has one peak': (j) => (j === 3000 ? 25 : 0),
    'has one peak among equals': (j) => (j % 1000 === 999 ? 30 : 0),
    'lies at -100 beside one 0': (j) => (j === 1000 ? 0 : -100),
    'is masked by -inf but for some': (j) => (j % 100 < 90 ? NINF : 0),
    'is masked by -inf but for the last': (j) => (j < V - 1 ? NINF : 0),
    'is masked by -1e9': (j) => (j % 7 === 0 ? 0 : -1e9),
    'is masked by -3e38': (j) => (j % 7 === 0 ? 0 : -3e38),
    'is masked by -3e38 and lies at 100': (j) => (j % 7 === 0 ? 100 : -3e38),
    'has +inf behind it': (j) => (j === 4500 ? INF : 0),
    'has +inf twice': (j) => (j === 4500 || j === 12 ? INF : 0),
    'has NaN behind it': (j) => (j === 4500 ? Number.NaN : 0),
  }
  return Object.entries(shapes).flatMap(([name, at]) => {
    const noise = normals(random, V)
    const data = fill(V, (j) => at(j) + noise[j])
    return (Math.abs(Math.min(...data.filter(Number.isFinite))) < 1e4 ? LOGIT_TYPES : (['f32', 'bf16'] as const)).map(
      (dtype) => ({
        name: `a row that ${name}, ${dtype}`,
        inputs: { logits: logitsOf(data, [1, V], dtype), tokens: typed('i32', [1000]) },
      }),
    )
  })
}

/** Widths with every remainder modulo 16, in all three element types. */
export const WIDTHS = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 23, 31, 32, 33, 47, 63, 64, 65, 127, 128, 129, 255,
  257,
]
export const LOGIT_TYPES: readonly LogitType[] = ['f32', 'bf16', 'f16']

export const TRANSFORMS: readonly Options[] = [
  { temperature: 0.7 },
  { temperature: 2 },
  { logitScale: 0.3 },
  { logitScale: -0.5 },
  { softcap: 5 },
  { logitScale: 1.7, softcap: 30, temperature: 1.3 },
  { ignoreIndex: 3 },
]

/** Rows of extreme logits, shared with the backward samples. */
export function extremes(random: RandomSource): { name: string; inputs: Inputs; options?: Options }[] {
  const late = normals(random, 2 * 8003)
  late.fill(NINF, 0, 4096)
  const long = (row: readonly number[]) => [...row, ...new Array<number>(3000).fill(NINF)]
  return [
    {
      name: 'logits of plus and minus 1e4',
      inputs: rows(
        [
          [1e4, -1e4, 9999, 0],
          [-1e4, -1e4, -1e4, -9990],
          [1e4, 1e4, 0, 1],
        ],
        [2, 0, 1],
      ),
    },
    {
      name: 'f16 at its largest',
      inputs: rows(
        [
          [65504, -65504, 65472, 0],
          [65504, 65504, 1, 2],
        ],
        [0, 1],
        'f16',
      ),
    },
    {
      name: 'bf16 with ties',
      inputs: rows(
        [
          [3, 3, 3, 1],
          [-2, -2, -2, -2],
        ],
        [1, 3],
        'bf16',
      ),
    },
    {
      name: '-inf among the logits',
      inputs: rows(
        [
          [NINF, 1, 2, NINF],
          [NINF, NINF, NINF, 4],
          [0, NINF, 1, 2],
        ],
        [2, 3, 1],
      ),
    },
    {
      name: 'one +inf is certain',
      inputs: rows(
        [
          [0, INF, 1, 2],
          [INF, 0, 0, NINF],
        ],
        [1, 2],
      ),
    },
    {
      name: 'one +inf, and one number, before 3000 of -inf',
      inputs: rows([long([0, INF]), long([NINF, 4])], [1, 1]),
    },
    { name: 'infinite logits under a softcap', inputs: rows([[NINF, 1, 2, INF]], [1]), options: { softcap: 4 } },
    {
      name: 'the first 4096 logits of a row are -inf',
      inputs: { logits: logitsOf(late, [2, 8003]), tokens: typed('i32', [8002, 5000]) },
    },
    {
      name: 'gaps around the underflow of exp',
      inputs: rows(
        [
          [0, -86, -88, -100],
          [-103.5, -104.5, 0, -200],
        ],
        [1, 2],
      ),
    },
    {
      name: 'all logits equal, 131072 of them',
      inputs: { logits: f32(new Float64Array(131072).fill(7.25), [1, 131072]), tokens: typed('i32', [99]) },
    },
    { name: 'p -> 1 at 131072', inputs: nearlyCertain(random, 131072, 40, 77777) },
    { name: 'p close to 1 at 131072', inputs: nearlyCertain(random, 131072, 18.5, 131071) },
  ]
}

export function randomTransform(random: RandomSource): Options {
  const options: Options = {}
  if (chance(random, 0.3)) options.temperature = 0.2 + 2 * random.next()
  if (chance(random, 0.3)) options.logitScale = 0.1 + 2 * random.next()
  if (chance(random, 0.3)) options.softcap = 2 + 20 * random.next()
  return options
}
