/** Plain JavaScript loops over typed arrays: what a library without native code would do. One thread. */
import { isSampled, resolvedOptions } from '../accuracy.ts'
import { pickRows } from '../data.ts'
import type { Operand, Peer, Work } from '../types.ts'

type Floats = Float32Array<ArrayBuffer>
type Outputs = Record<string, Floats>
/** Prepares a case; the function that it returns is timed. */
type Loop = (inputs: Record<string, Operand>, options: Record<string, unknown>) => () => Outputs

const tokenLogprobs: Loop = ({ logits, tokens }) => {
  const [N, V] = logits.shape
  const x = logits.data as Floats
  const logprob = new Float32Array(N)
  return () => {
    for (let i = 0; i < N; i++) {
      const start = i * V
      let max = Number.NEGATIVE_INFINITY
      for (let j = start; j < start + V; j++) if (x[j] > max) max = x[j]
      let sum = 0
      for (let j = start; j < start + V; j++) sum += Math.exp(x[j] - max)
      logprob[i] = x[start + tokens.data[i]] - max - Math.log(sum)
    }
    return { logprob }
  }
}

const gae: Loop = ({ rewards, values, bootstrap, terminated }, options) => {
  const [B, T] = rewards.shape
  const [gamma, lambda] = [Number(options.gamma), Number(options.lambda)]
  const [r, v, advantages, returns] = [rewards.data, values.data, new Float32Array(B * T), new Float32Array(B * T)]
  return () => {
    for (let b = 0; b < B; b++) {
      let [next, advantage] = [bootstrap.data[b], 0]
      for (let i = (b + 1) * T - 1; i >= b * T; i--) {
        const continues = terminated.data[i] === 0 ? 1 : 0
        advantage = r[i] + gamma * next * continues - v[i] + gamma * lambda * continues * advantage
        advantages[i] = advantage
        returns[i] = advantage + v[i]
        next = v[i]
      }
    }
    return { advantages, returns }
  }
}

const ppoPolicyLoss: Loop = ({ logprob, oldLogprob, advantage, valid }, options) => {
  const N = logprob.data.length
  const [low, high] = [1 - Number(options.clipLow), 1 + Number(options.clipHigh)]
  const gradLogprob = new Float32Array(N)
  return () => {
    let [sum, count] = [0, 0]
    for (let i = 0; i < N; i++) count += valid.data[i]
    for (let i = 0; i < N; i++) {
      gradLogprob[i] = 0
      if (valid.data[i] === 0) continue
      const [ratio, a] = [Math.exp(logprob.data[i] - oldLogprob.data[i]), advantage.data[i]]
      const [unclipped, clipped] = [-a * ratio, -a * Math.min(Math.max(ratio, low), high)]
      sum += Math.max(unclipped, clipped)
      if (unclipped >= clipped) gradLogprob[i] = unclipped / count
    }
    return { loss: Float32Array.of(sum / count), gradLogprob }
  }
}

const bradleyTerryLoss: Loop = ({ chosen, rejected }) => {
  const B = chosen.data.length
  const [gradChosen, gradRejected] = [new Float32Array(B), new Float32Array(B)]
  return () => {
    let sum = 0
    for (let b = 0; b < B; b++) {
      const d = chosen.data[b] - rejected.data[b]
      sum += Math.max(-d, 0) + Math.log1p(Math.exp(-Math.abs(d)))
      gradChosen[b] = -1 / (1 + Math.exp(d)) / B
      gradRejected[b] = -gradChosen[b]
    }
    return { loss: Float32Array.of(sum / B), gradChosen, gradRejected }
  }
}

const adamw: Loop = (inputs, options) => {
  const [param, m, v] = [inputs.param, inputs.m, inputs.v].map(({ data }) => data.slice() as Floats)
  const grad = inputs.grad.data
  const [lr, beta1, beta2] = [Number(options.lr), Number(options.beta1), Number(options.beta2)]
  const [epsilon, decay] = [Number(options.epsilon), Number(options.weightDecay)]
  let step = 0
  return () => {
    step++
    const [correct1, correct2] = [1 - beta1 ** step, 1 - beta2 ** step]
    for (let i = 0; i < param.length; i++) {
      m[i] = beta1 * m[i] + (1 - beta1) * grad[i]
      v[i] = beta2 * v[i] + (1 - beta2) * grad[i] * grad[i]
      param[i] -= lr * (m[i] / correct1 / (Math.sqrt(v[i] / correct2) + epsilon) + decay * param[i])
    }
    return { param }
  }
}

const loops: Readonly<Record<string, Loop>> = { tokenLogprobs, gae, ppoPolicyLoss, bradleyTerryLoss, adamw }

const judged = (work: Work, outputs: Outputs): Outputs =>
  Object.fromEntries(
    work.judged.map((name) => {
      const data = outputs[name]
      if (!isSampled(work, name)) return [name, data.slice()]
      const rows = Object.values(work.inputs)[0].shape[0]
      const all: Operand = { data, shape: [rows, data.length / rows], dtype: 'f32' }
      return [name, pickRows(all, work.sampled!.rows).data as Floats]
    }),
  )

export const javascript: Peer = {
  name: 'javascript',
  install: '',
  ops: Object.keys(loops),
  mostThreads: 1,
  missing: async () => undefined,
  open: async (setting) => ({
    about: { peer: 'javascript', version: `V8 ${process.versions.v8}`, ...setting, isa: '', details: ['plain loops'] },
    async load(work) {
      const loop = loops[work.op]
      if (loop === undefined || work.dtype !== 'f32') return []
      const run = loop(work.inputs, resolvedOptions(work))
      const first = judged(work, run())
      return [
        {
          name: 'plain JavaScript',
          peer: 'javascript',
          async sample(calls) {
            const start = performance.now()
            for (let i = 0; i < calls; i++) run()
            return (performance.now() - start) / calls
          },
          outputs: async () => first,
        },
      ]
    },
    close: async () => {},
  }),
}
