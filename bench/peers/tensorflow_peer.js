/**
 * TensorFlow.js as a peer: a process that speaks the protocol of protocol.py. Its backends run on one thread under Node.js.
 * TFJS and TFJS_WASM say where the packages are.
 */
import { openSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'

// Answers are all that may go there.
console.log = console.error
const require = createRequire(import.meta.url)
const { TFJS, TFJS_WASM } = process.env
const tf = require(TFJS)

/** A call of the cpu backend takes seconds above as many elements. */
const MOST_ON_CPU = 1e7

const backends = ['cpu']
if (TFJS_WASM !== undefined) {
  require(TFJS_WASM).setWasmPaths(`${dirname(TFJS_WASM)}/`)
  if (await tf.setBackend('wasm')) backends.unshift('wasm')
}

const { relu, abs, neg, exp, log1p } = tf
/** log(1 + e^-x) without overflow: tf.softplus has no gradient that is exact far from 0. */
const negativeLogSigmoid = (x) => relu(neg(x)).add(log1p(exp(neg(abs(x)))))

const clippedLoss = ({ oldLogprob, advantage, valid }, { clipLow, clipHigh }) => {
  const count = valid.sum()
  return (logprob) => {
    const ratio = exp(logprob.sub(oldLogprob))
    const clipped = tf.clipByValue(ratio, 1 - clipLow, 1 + clipHigh)
    return tf.maximum(advantage.mul(ratio).neg(), advantage.mul(clipped).neg()).mul(valid).sum().div(count)
  }
}

const pairLoss = ({ refChosen, refRejected }, { beta }) => {
  const reference = refChosen.sub(refRejected)
  return (chosen, rejected) => negativeLogSigmoid(chosen.sub(rejected).sub(reference).mul(beta)).mean()
}

/** The loss, and its gradients by the inputs named, under the names of the outputs. */
const valueAndGradients = (loss, wanted) => (inputs, options) => {
  const both = tf.valueAndGrads(loss(inputs, options))
  const given = Object.values(wanted).map((name) => inputs[name])
  return () => {
    const { value, grads } = both(given)
    return { loss: value, ...Object.fromEntries(Object.keys(wanted).map((name, i) => [name, grads[i]])) }
  }
}

const operations = {
  tokenLogprobs: {
    'logSoftmax + gatherND': ({ logits, tokens }) => {
      const at = tf.stack([tf.range(0, tokens.size, 1, 'int32'), tokens], 1)
      return () => ({ logprob: tf.gatherND(tf.logSoftmax(logits), at) })
    },
  },
  ppoPolicyLoss: { valueAndGrads: valueAndGradients(clippedLoss, { gradLogprob: 'logprob' }) },
  bradleyTerryLoss: {
    valueAndGrads: valueAndGradients(() => (chosen, rejected) => negativeLogSigmoid(chosen.sub(rejected)).mean(), {
      gradChosen: 'chosen',
      gradRejected: 'rejected',
    }),
  },
  dpoLoss: {
    valueAndGrads: valueAndGradients(pairLoss, {
      gradPolicyChosen: 'policyChosen',
      gradPolicyRejected: 'policyRejected',
    }),
  },
  linear: {
    matMul:
      ({ x, weight }) =>
      () => ({ y: tf.matMul(x, weight, false, true) }),
  },
}

/** Everything as f32 but tokens: what is multiplied must have one type. */
const READ = { f32: Float32Array, i32: Int32Array, u8: Uint8Array }

const readInputs = (path, described) => {
  const file = openSync(path)
  return Object.fromEntries(
    Object.entries(described).map(([name, { dtype, shape, offset }]) => {
      if (READ[dtype] === undefined) throw new Error(`no ${dtype} in TensorFlow.js`)
      const data = new READ[dtype](shape.reduce((a, b) => a * b, 1))
      const bytes = new Uint8Array(data.buffer)
      for (let at = 0; at < bytes.length; ) at += readSync(file, bytes, at, bytes.length - at, offset + at)
      return [
        name,
        tf.tensor(dtype === 'u8' ? Float32Array.from(data) : data, shape, dtype === 'i32' ? 'int32' : 'float32'),
      ]
    }),
  )
}

const slots = new Map()

const variantsOf = (op) => backends.flatMap((backend) => Object.keys(operations[op]).map((way) => `${backend} ${way}`))

const requests = {
  hello: () => ({
    version: `TensorFlow.js ${tf.version.tfjs}`,
    details: [
      `backends ${backends.join(', ')}`,
      ...(TFJS_WASM === undefined
        ? ['wasm would be there with npm install --no-save @tensorflow/tfjs-backend-wasm']
        : []),
    ],
    ops: Object.fromEntries(Object.keys(operations).map((op) => [op, variantsOf(op)])),
  }),
  async load({ slot, op, variant, file, inputs, options }) {
    const [backend, ...way] = variant.split(' ')
    const elements = Object.values(inputs).reduce(
      (most, { shape }) =>
        Math.max(
          most,
          shape.reduce((a, b) => a * b, 1),
        ),
      0,
    )
    if (backend === 'cpu' && elements > MOST_ON_CPU) throw new Error('left out: a call takes seconds')
    await tf.setBackend(backend)
    const tensors = readInputs(file, inputs)
    const make = operations[op][way.join(' ')]
    const run = make(tensors, options)
    const first = tf.tidy(run)
    slots.set(slot, { backend, run, first, tensors })
    return { outputs: Object.keys(first) }
  },
  async judge({ slot, outputs, rows }) {
    const { first } = slots.get(slot)
    const found = {}
    for (const name of outputs) {
      const tensor = rows === null ? first[name] : tf.gather(first[name], tf.tensor1d(rows, 'int32'))
      const { buffer, byteOffset, byteLength } = await tensor.data()
      found[name] = Buffer.from(buffer, byteOffset, byteLength).toString('base64')
    }
    return { outputs: found }
  },
  async sample({ slot, calls }) {
    const { backend, run } = slots.get(slot)
    await tf.setBackend(backend)
    const start = performance.now()
    for (let i = 0; i < calls; i++) tf.dispose(tf.tidy(run))
    return { ms: (performance.now() - start) / calls }
  },
  unload({ slot }) {
    const { tensors, first } = slots.get(slot) ?? {}
    tf.dispose([tensors ?? {}, first ?? {}])
    slots.delete(slot)
    return {}
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  let reply
  try {
    const request = JSON.parse(line)
    reply = await requests[request.do](request)
  } catch (error) {
    reply = { error: `${error.name}: ${error.message}` }
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`)
}
