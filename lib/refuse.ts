/** Small helpers for wording refusals. */
import { type ErrorCode, type ErrorDetails, PrefgradError } from './errors.ts'

export function refuse(code: ErrorCode, message: string, details: ErrorDetails = {}): never {
  throw new PrefgradError(code, message, details)
}

/** A value as a short text: kind and content. */
export const describe = (value: unknown): string => {
  if (value === null) return 'null'
  if (typeof value === 'string') return `'${value.length > 40 ? `${value.slice(0, 40)}…` : value}'`
  if (typeof value === 'object' || typeof value === 'function')
    return `a ${(value as object).constructor?.name ?? 'object'}`
  return typeof value === 'bigint' ? `${value}n` : String(value)
}

/** Edit distance, for "did you mean". */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]
}

/** Names that users of other systems type. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  valid: ['mask', 'masks', 'attentionmask', 'lossmask', 'responsemask', 'paddingmask'],
  logprob: ['logp', 'logprobs', 'lp', 'newlogprob', 'logps'],
  oldLogprob: ['oldlogp', 'oldlogprobs'],
  refLogprob: ['reflogp', 'reflogprobs', 'referencelogprob'],
  advantage: ['advantages', 'adv'],
  tokens: ['labels', 'targets', 'ids', 'actions'],
  terminated: ['done', 'dones'],
  clipLow: ['epsilon', 'clip', 'epsilonlow', 'cliprange'],
  clipHigh: ['epsilonhigh'],
  klCoefficient: ['beta', 'klcoef'],
  lr: ['learningrate'],
  epsilon: ['eps'],
}

/** The known name that was probably meant. */
export const nearest = (name: string, known: readonly string[]): string | undefined => {
  const lower = name.toLowerCase().replace(/[_-]/g, '')
  const same = known.find((k) => k.toLowerCase() === lower || SYNONYMS[k]?.includes(lower))
  if (same !== undefined) return same
  const ranked = known.map((k) => [distance(lower, k.toLowerCase()), k] as const).sort((a, b) => a[0] - b[0])
  return ranked.length > 0 && ranked[0][0] <= Math.max(2, name.length / 3) ? ranked[0][1] : undefined
}

export const unknownName = (op: string | undefined, what: string, name: string, known: readonly string[]): never => {
  const meant = nearest(name, known)
  return refuse('ERR_ARGUMENT', `there is no ${what} '${name}'.`, {
    op,
    arg: name,
    fix: meant === undefined ? `Known: ${known.join(', ') || 'none'}.` : `Did you mean '${meant}'?`,
  })
}
