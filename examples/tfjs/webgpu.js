/**
 * The same on the GPU, with no copy: prefgrad runs on the GPUDevice of TensorFlow.js, reads the scores in its buffer and writes
 * the gradients into buffers that become tensors of its own. Only the loss is read back, to be printed.
 */
import { create, globals } from 'webgpu'

// In a browser all this is there.
const gpu = create([])
Object.assign(globalThis, globals, { self: globalThis })
Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'node' }, configurable: true })

const tf = await import('@tensorflow/tfjs')
await import('@tensorflow/tfjs-backend-webgpu')
const { bradleyTerryLoss, openDevice } = await import('prefgrad/webgpu')
const { makePairs } = await import('./pairs.js')

// Small tensors must not stay on the cpu: their memory is what is shared.
tf.env().set('WEBGPU_CPU_FORWARD', false)
await tf.setBackend('webgpu')
const { device: gpuDevice } = tf.backend()
const device = await openDevice('webgpu', { device: gpuDevice })

/** Submits what TensorFlow.js has encoded. */
const submit = () => {
  const backend = tf.backend()
  if (backend.commandEncoder === null) return
  backend.endComputePassEncoder()
  backend.submitQueue()
}
const bufferOf = (tensor) => tensor.dataToGPU()
const USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
/** An empty tensor of TensorFlow.js, and the same memory as a tensor of prefgrad's. */
const shared = (size) => {
  const buffer = gpuDevice.createBuffer({ size: 4 * size, usage: USAGE })
  return {
    ours: device.wrap(buffer, [size], 'f32'),
    theirs: () => tf.tensor({ buffer, zeroCopy: true }, [size], 'float32'),
  }
}

const preferenceLoss = tf.customGrad((chosen, rejected) => {
  const [P] = chosen.shape
  const [loss, gradChosen, gradRejected] = [shared(1), shared(P), shared(P)]
  const scores = [bufferOf(chosen), bufferOf(rejected)]
  // What TensorFlow.js has encoded must come first.
  submit()
  bradleyTerryLoss(
    { chosen: device.wrap(scores[0].buffer, [P], 'f32'), rejected: device.wrap(scores[1].buffer, [P], 'f32') },
    { centerCoefficient: 0.01 },
    { out: { loss: loss.ours, gradChosen: gradChosen.ours, gradRejected: gradRejected.ours } },
  )
  device.flush()
  for (const { tensorRef } of scores) tensorRef.dispose()
  return {
    value: tf.reshape(loss.theirs(), []),
    gradFunc: (upstream) => [gradChosen, gradRejected].map((grad) => tf.mul(upstream, grad.theirs())),
  }
})

const FEATURES = 8
const pairs = makePairs(64, FEATURES)
const [chosen, rejected] = [tf.tensor2d(pairs.chosen), tf.tensor2d(pairs.rejected)]
const hidden = tf.variable(tf.randomNormal([FEATURES, 16], 0, 0.3, 'float32', 1))
const head = tf.variable(tf.randomNormal([16, 1], 0, 0.3, 'float32', 2))
const scoreOf = (x) => tf.reshape(tf.matMul(tf.tanh(tf.matMul(x, hidden)), head), [-1])

const optimizer = tf.train.adam(0.02)
for (let step = 0; step <= 40; step++) {
  const loss = optimizer.minimize(() => preferenceLoss(scoreOf(chosen), scoreOf(rejected)), true)
  if (step % 10 === 0) console.log(`step ${step}  loss ${(await loss.data())[0].toFixed(4)}`)
  loss.dispose()
}
const right = tf.mean(tf.cast(tf.greater(scoreOf(chosen), scoreOf(rejected)), 'float32'))
console.log(`${(100 * (await right.data())[0]).toFixed(0)} % of the pairs right, on ${device.name}`)
