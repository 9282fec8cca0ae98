/** Pairs of feature vectors: a hidden taste decides which of two is preferred. The same numbers every time. */
export const makePairs = (pairs, features) => {
  let state = 7
  const uniform = () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647 - 0.5
  }
  const taste = Array.from({ length: features }, uniform)
  const [chosen, rejected] = [[], []]
  for (let p = 0; p < pairs; p++) {
    const [a, b] = [Array.from({ length: features }, uniform), Array.from({ length: features }, uniform)]
    const like = (x) => x.reduce((sum, value, f) => sum + value * taste[f], 0)
    chosen.push(like(a) > like(b) ? a : b)
    rejected.push(like(a) > like(b) ? b : a)
  }
  return { chosen, rejected }
}
