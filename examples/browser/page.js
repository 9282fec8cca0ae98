import { openDevice } from 'prefgrad/webgpu'
import { draw } from './chart.js'
import { RewardModel, readPairs, wordsOf } from './model.js'

const get = (id) => document.getElementById(id)
const say = (id, text, wrong = false) => {
  get(id).textContent = text
  get(id).classList.toggle('wrong', wrong)
}
const percent = (share) => `${(100 * share).toFixed(0)} %`
/** Times that a word must stand in the pairs before its score is worth showing. */
const OFTEN = 3
/** Every fifth pair is held out. */
const isHeldOut = (_, i) => i % 5 === 4

let device
let model

const readable = () => {
  try {
    const pairs = readPairs(get('pairs').value)
    const heldOut = pairs.filter(isHeldOut).length
    say('count', `${pairs.length - heldOut} pairs to train on, ${heldOut} held out`)
    return pairs
  } catch (error) {
    say('count', error.message, true)
    return []
  }
}

const charts = (losses, accuracies, steps) => {
  const high = Math.max(0.8, ...losses.map(([, loss]) => loss))
  const two = (value) => value.toFixed(2)
  draw(get('loss'), losses, { range: [0, high], steps, colour: 'var(--accent)', format: two })
  draw(get('accuracy'), accuracies, { range: [0, 1], steps, colour: 'var(--second)', format: percent })
}

/** Share of pairs whose preferred text scores higher; a tie is half. */
const accuracyOn = async (pairs) => {
  if (pairs.length === 0) return Number.NaN
  const scores = await model.score([...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)])
  let right = 0
  pairs.forEach(({ preference }, i) => {
    const gap = (scores[i] - scores[pairs.length + i]) * Math.sign(preference - 0.5)
    right += gap > 0 ? 1 : gap === 0 ? 0.5 : 0
  })
  return right / pairs.length
}

const showScore = async () => {
  const text = get('text').value
  if (model === undefined || wordsOf(text).length === 0) return say('score', '–')
  const [score] = await model.score([text])
  say('score', `${score >= 0 ? '+' : ''}${score.toFixed(2)}`)
}

const showWords = async (counts) => {
  const vocabulary = [...counts.keys()]
  const scores = await model.score(vocabulary)
  const order = vocabulary.map((_, w) => w).filter((w) => counts.get(vocabulary[w]) >= OFTEN)
  order.sort((a, b) => scores[b] - scores[a])
  const item = (w) => Object.assign(document.createElement('li'), { textContent: vocabulary[w] })
  get('best').replaceChildren(...order.slice(0, 8).map(item))
  get('worst').replaceChildren(...order.slice(-8).reverse().map(item))
}

const train = async () => {
  const all = readable()
  const pairs = all.filter((pair, i) => !isHeldOut(pair, i))
  const heldOut = all.filter(isHeldOut)
  if (pairs.length === 0) return
  get('train').disabled = true
  const steps = Number(get('steps').value)
  const lr = Number(get('rate').value)
  const texts = [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)]
  const counts = new Map()
  for (const word of texts.flatMap(wordsOf)) counts.set(word, (counts.get(word) ?? 0) + 1)
  model = new RewardModel(device, ['', ...counts.keys()])
  const batch = model.batch(texts)
  const preference = device.tensor(Float32Array.from(pairs, (pair) => pair.preference))
  const losses = []
  const accuracies = []
  try {
    if (heldOut.length > 0) accuracies.push([0, await accuracyOn(heldOut)])
    for (let step = 0; step < steps; step++) {
      losses.push([step, await model.step(batch, preference, lr)])
      if (step % 5 !== 4 && step !== steps - 1) continue
      if (heldOut.length > 0) accuracies.push([step + 1, await accuracyOn(heldOut)])
      charts(losses, accuracies, steps)
      say('progress', `step ${step + 1} of ${steps}`)
      await new Promise(requestAnimationFrame)
    }
    const last = accuracies.at(-1)?.[1]
    say(
      'progress',
      `done: loss ${losses.at(-1)[1].toFixed(3)}${last === undefined ? '' : `, ${percent(last)} of the held-out pairs right`}`,
    )
    await showWords(counts)
    await showScore()
  } catch (error) {
    say('progress', error.message, true)
  } finally {
    get('train').disabled = false
  }
}

get('pairs').value = await (await fetch('pairs.jsonl')).text()
readable()
charts([], [], Number(get('steps').value))
get('pairs').addEventListener('input', readable)
get('text').addEventListener('input', showScore)
get('train').addEventListener('click', train)
get('file').addEventListener('change', async ({ target }) => {
  const [file] = target.files
  if (file === undefined) return
  get('pairs').value = await file.text()
  readable()
})

try {
  device = await openDevice()
  say('device', `Running on ${device.name}.`)
  get('train').disabled = false
} catch (error) {
  say('device', error.message, true)
}
