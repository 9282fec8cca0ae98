/**
 * A TensorFlow.js model trained by prefgrad's Bradley-Terry loss. `tf.customGrad` is synchronous, and so is the cpu device: value
 * and gradients come from one call, on the very arrays that TensorFlow.js holds.
 */
import * as tf from '@tensorflow/tfjs'
import { bradleyTerryLoss } from 'prefgrad'
import { makePairs } from './pairs.js'

await tf.setBackend('cpu')

/** Scores of both sides [P] -> loss; TensorFlow.js differentiates through it. */
const preferenceLoss = tf.customGrad((chosen, rejected) => {
  const { loss, gradChosen, gradRejected } = bradleyTerryLoss(
    { chosen: chosen.dataSync(), rejected: rejected.dataSync() },
    { centerCoefficient: 0.01 },
  )
  return {
    value: tf.scalar(loss.item()),
    gradFunc: (upstream) => [gradChosen, gradRejected].map((grad) => tf.mul(upstream, tf.tensor1d(grad.data))),
  }
})

const FEATURES = 8
const pairs = makePairs(64, FEATURES)
const [chosen, rejected] = [tf.tensor2d(pairs.chosen), tf.tensor2d(pairs.rejected)]
const hidden = tf.variable(tf.randomNormal([FEATURES, 16], 0, 0.3, 'float32', 1))
const head = tf.variable(tf.randomNormal([16, 1], 0, 0.3, 'float32', 2))
const scoreOf = (x) => tf.reshape(tf.matMul(tf.tanh(tf.matMul(x, hidden)), head), [-1])

const optimizer = tf.train.adam(0.02)
for (let step = 0; step <= 200; step++) {
  const loss = optimizer.minimize(() => preferenceLoss(scoreOf(chosen), scoreOf(rejected)), true)
  if (step % 50 === 0) console.log(`step ${step}  loss ${loss.dataSync()[0].toFixed(4)}`)
  loss.dispose()
}
const right = tf.mean(tf.cast(tf.greater(scoreOf(chosen), scoreOf(rejected)), 'float32')).dataSync()[0]
console.log(`${(100 * right).toFixed(0)} % of the pairs right`)
