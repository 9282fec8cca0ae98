/** Matrix products with a weight, and their gradients. */
import { gemmGrid, gemmScratch, gemmTile, gemmWork, type Tile } from './gemm.ts'
import { blocks, type CallShape, type OpSpec } from './schema.ts'

/** Columns of gradBias that one work item adds up. */
const BIAS_BLOCK = 128

const tileOfY = ({ dims, threads }: CallShape): Tile => gemmTile(dims.N, dims.O, dims.I, threads)
const tileOfGradX = ({ dims, threads }: CallShape): Tile => gemmTile(dims.N, dims.I, dims.O, threads)
const tileOfGradWeight = ({ dims, threads }: CallShape): Tile => gemmTile(dims.O, dims.I, dims.N, threads)
const forwardFloats = (call: CallShape): number => gemmScratch(tileOfY(call))
const backwardFloats = (call: CallShape): number =>
  Math.max(gemmScratch(tileOfGradX(call)), gemmScratch(tileOfGradWeight(call)))

export const linear = {
  linear: {
    doc: 'Matrix product with a weight, in true f32 with one fixed order of terms: a row has the same bits in any batch.',
    source: 'y = x weight^T + bias; each y is one fma chain over k = 0, 1, ... starting from 0',
    inputs: {
      x: { shape: ['*N', 'I'], doc: 'Rows.' },
      weight: { shape: ['O', 'I'], doc: 'One row per output.' },
      bias: { shape: ['O'], optional: true, doc: 'Added last.' },
    },
    outputs: { y: { shape: ['*N', 'O'], doc: 'The product.' } },
    options: {},
    derived: {
      tileRows: (call) => tileOfY(call).rows,
      tileColumns: (call) => tileOfY(call).columns,
      workerFloats: forwardFloats,
    },
    workspace: (call) => 4 * call.threads * forwardFloats(call),
    passes: [
      {
        name: 'forward',
        grid: (call) => gemmGrid(call.dims.N, call.dims.O, tileOfY(call)),
        work: (call) => gemmWork(tileOfY(call), call.dims.I),
      },
    ],
    traffic: (call) => 4 * (call.dims.N * call.dims.I + call.dims.O * call.dims.I + call.dims.N * call.dims.O),
  },
  linearBackward: {
    doc: 'Gradients of linear; each can be left out.',
    source:
      'gradX = gradY weight; gradWeight = gradY^T x; gradBias = sum of rows of gradY; the first two are fma chains in rising order (gradWeight on a GPU: by parts of the rows)',
    inputs: {
      gradY: { shape: ['*N', 'O'], doc: 'Upstream gradient.' },
      x: { shape: ['*N', 'I'], doc: 'From the forward call.' },
      weight: { shape: ['O', 'I'], doc: 'From the forward call.' },
    },
    outputs: {
      gradX: { shape: ['*N', 'I'], when: 'wantX', gradient: true, doc: 'Gradient of x.' },
      gradWeight: { shape: ['O', 'I'], when: 'wantWeight', gradient: true, doc: 'Gradient of the weight.' },
      gradBias: { shape: ['O'], when: 'wantBias', gradient: true, doc: 'Gradient of the bias.' },
    },
    options: {
      wantX: { type: 'boolean', default: true, doc: 'Compute gradX.' },
      wantWeight: { type: 'boolean', default: true, doc: 'Compute gradWeight.' },
      wantBias: { type: 'boolean', default: false, doc: 'Compute gradBias.' },
    },
    derived: {
      xTileRows: (call) => tileOfGradX(call).rows,
      xTileColumns: (call) => tileOfGradX(call).columns,
      weightTileRows: (call) => tileOfGradWeight(call).rows,
      weightTileColumns: (call) => tileOfGradWeight(call).columns,
      workerFloats: backwardFloats,
    },
    workspace: (call) => 4 * call.threads * backwardFloats(call),
    passes: [
      {
        name: 'gradX',
        when: (call) => call.has('gradX'),
        grid: (call) => gemmGrid(call.dims.N, call.dims.I, tileOfGradX(call)),
        work: (call) => gemmWork(tileOfGradX(call), call.dims.O),
      },
      {
        name: 'gradWeight',
        when: (call) => call.has('gradWeight'),
        grid: (call) => gemmGrid(call.dims.O, call.dims.I, tileOfGradWeight(call)),
        work: (call) => gemmWork(tileOfGradWeight(call), call.dims.N),
      },
      {
        name: 'gradBias',
        when: (call) => call.has('gradBias'),
        grid: (call) => blocks(call.dims.O, BIAS_BLOCK),
        work: (call) => call.dims.N * BIAS_BLOCK,
      },
    ],
    traffic: (call) =>
      4 * (2 * call.dims.N * call.dims.O + 2 * call.dims.N * call.dims.I + 2 * call.dims.O * call.dims.I),
  },
} as const satisfies Record<string, OpSpec>
