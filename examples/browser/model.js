/**
 * The smallest reward model that learns anything: a vector for each word, their mean, one weight per component. All of it is
 * five ops forward and four back; the parameters lie in one flat tensor, so that the optimizer is two more.
 */
import {
  adamw,
  bradleyTerryLoss,
  embedding,
  embeddingBackward,
  gradNorm,
  linear,
  linearBackward,
  poolRows,
  poolRowsBackward,
} from 'prefgrad/webgpu'

const WIDTH = 16

export const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}']+|[?!]/gu) ?? []

/** Lines of preferences as pairs, or an error that names the line. */
export const readPairs = (text) =>
  text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return []
    let pair
    try {
      pair = JSON.parse(line)
    } catch (error) {
      throw new Error(`line ${i + 1} is not JSON: ${error.message}`)
    }
    const { chosen, rejected, preference = 1 } = pair ?? {}
    if (typeof chosen !== 'string' || typeof rejected !== 'string') {
      throw new Error(`line ${i + 1} needs "chosen" and "rejected", two texts`)
    }
    if (!(preference >= 0 && preference <= 1)) throw new Error(`line ${i + 1}: "preference" must lie in [0, 1]`)
    return [{ chosen, rejected, preference }]
  })

export class RewardModel {
  constructor(device, vocabulary) {
    this.device = device
    this.vocabulary = new Map(vocabulary.map((word, i) => [word, i]))
    // Word 0 is for those that were never seen; a start near 0 lets all words begin alike.
    const V = vocabulary.length
    const start = new Float32Array(V * WIDTH + WIDTH)
    let state = 1
    for (let i = 0; i < start.length; i++) {
      state = (state * 48271) % 2147483647
      start[i] = 0.2 * (state / 2147483647 - 0.5)
    }
    start.fill(0, 0, WIDTH)
    this.param = device.tensor(start)
    this.grad = device.zeros([start.length])
    this.moments = { m: device.zeros([start.length]), v: device.zeros([start.length]), step: device.zeros([1], 'i32') }
    const views = (flat) => ({ table: flat.view(0, [V, WIDTH]), head: flat.view(V * WIDTH, [1, WIDTH]) })
    this.weights = views(this.param)
    this.gradients = views(this.grad)
  }

  /** Texts as packed word ids, on the device. */
  batch(texts) {
    const lists = texts.map((text) => wordsOf(text).map((word) => this.vocabulary.get(word) ?? 0))
    const offsets = new Int32Array(texts.length + 1)
    lists.forEach((list, i) => {
      offsets[i + 1] = offsets[i] + list.length
    })
    return { ids: this.device.tensor(Int32Array.from(lists.flat())), offsets: this.device.tensor(offsets) }
  }

  /** Scores [texts]; keeps what the way back needs. */
  forward({ ids, offsets }) {
    const rows = embedding({ table: this.weights.table, ids }).y
    const pooled = poolRows({ x: rows, offsets }).y
    const scores = linear({ x: pooled, weight: this.weights.head }).y
    return { rows, pooled, scores: scores.reshape([scores.size]) }
  }

  /** One step on pairs whose texts are batched chosen first, rejected after; resolves to the loss before it. */
  async step(batch, preference, lr) {
    const { rows, pooled, scores } = this.forward(batch)
    const P = preference.size
    const gradScores = this.device.empty([2 * P])
    const { loss } = bradleyTerryLoss(
      { chosen: scores.view(0, [P]), rejected: scores.view(P, [P]), preference },
      { centerCoefficient: 0.01 },
      { out: { gradChosen: gradScores.view(0, [P]), gradRejected: gradScores.view(P, [P]) } },
    )
    const { gradX } = linearBackward(
      { gradY: gradScores.reshape([2 * P, 1]), x: pooled, weight: this.weights.head },
      {},
      { out: { gradWeight: this.gradients.head } },
    )
    const back = poolRowsBackward({ gradPooled: gradX, like: rows, offsets: batch.offsets })
    embeddingBackward(
      { gradY: back.gradX, ids: batch.ids },
      { vocabularySize: this.vocabulary.size },
      { out: { gradTable: this.gradients.table } },
    )
    const { norm } = gradNorm({ grad: this.grad })
    adamw({ param: this.param, grad: this.grad, norm, ...this.moments }, { lr, weightDecay: 0.02, maxNorm: 1 })
    return (await loss.read())[0]
  }

  async score(texts) {
    return await this.forward(this.batch(texts)).scores.read()
  }
}
