/**
 * A few ONNX graphs as protocol buffers, written by hand: the format's field numbers (onnx.proto3) are all there is to
 * it, and no Python is needed to make them.
 */

/** ONNX's TensorProto.DataType. */
export const ELEMENT = { f32: 1, i32: 6, i64: 7 } as const
type Element = keyof typeof ELEMENT

const varint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) | 128, ...varint(Math.floor(n / 128))])
/** Wire type 0: a whole number. */
const int = (field: number, n: number): number[] => [...varint(field * 8), ...varint(n)]
/** Wire type 2: text or a nested message. */
const nested = (field: number, content: readonly number[] | string): number[] => {
  const bytes = typeof content === 'string' ? [...Buffer.from(content, 'utf8')] : content
  return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes]
}

/** A ValueInfoProto: name, element type and dimensions. */
const value = (name: string, element: Element, shape: readonly number[]): number[] => {
  const dims = shape.flatMap((n) => nested(1, int(1, n)))
  return [...nested(1, name), ...nested(2, nested(1, [...int(1, ELEMENT[element]), ...nested(2, dims)]))]
}

interface Node {
  op: string
  inputs: readonly string[]
  output: string
  /** Whole-number attributes. */
  attributes?: Readonly<Record<string, number>>
}

const ATTRIBUTE_INT = 2
const node = ({ op, inputs, output, attributes = {} }: Node): number[] => [
  ...inputs.flatMap((name) => nested(1, name)),
  ...nested(2, output),
  ...nested(4, op),
  ...Object.entries(attributes).flatMap(([name, n]) =>
    nested(5, [...nested(1, name), ...int(3, n), ...int(20, ATTRIBUTE_INT)]),
  ),
]

interface Graph {
  nodes: readonly Node[]
  inputs: readonly (readonly [string, Element, readonly number[]])[]
  outputs: readonly (readonly [string, Element, readonly number[]])[]
}

const IR_VERSION = 8
const OPSET = 13

/** A ModelProto. */
export const onnxModel = ({ nodes, inputs, outputs }: Graph): Uint8Array => {
  const graph = [
    ...nodes.flatMap((n) => nested(1, node(n))),
    ...nested(2, 'bench'),
    ...inputs.flatMap((input) => nested(11, value(...input))),
    ...outputs.flatMap((output) => nested(12, value(...output))),
  ]
  return Uint8Array.from([
    ...int(1, IR_VERSION),
    ...nested(7, graph),
    ...nested(8, [...nested(1, ''), ...int(2, OPSET)]),
  ])
}

/** log softmax, then the entry of each row's token. */
export const logSoftmaxGather = (N: number, V: number): Uint8Array =>
  onnxModel({
    nodes: [
      { op: 'LogSoftmax', inputs: ['logits'], output: 'all', attributes: { axis: 1 } },
      { op: 'GatherElements', inputs: ['all', 'tokens'], output: 'logprob', attributes: { axis: 1 } },
    ],
    inputs: [
      ['logits', 'f32', [N, V]],
      ['tokens', 'i32', [N, 1]],
    ],
    outputs: [['logprob', 'f32', [N, 1]]],
  })

/** y = x weight^T. */
export const gemm = (M: number, K: number, N: number): Uint8Array =>
  onnxModel({
    nodes: [{ op: 'Gemm', inputs: ['x', 'weight'], output: 'y', attributes: { transB: 1 } }],
    inputs: [
      ['x', 'f32', [M, K]],
      ['weight', 'f32', [N, K]],
    ],
    outputs: [['y', 'f32', [M, N]]],
  })
