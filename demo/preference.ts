import { type Lexicon, RATERS } from './lexicon.ts'

/** What ten human raters would say of short texts, if they felt about a text as about the words in it. */
export interface WordPreference {
  /** Per rating column, the sum of its ratings over the lexicon's words in the text; a repeated word counts again. */
  ratings(completion: string, prompt?: string): Int32Array
  /** Mean of {@link WordPreference.ratings} over the columns: positive is pleasant, 0 says nothing. */
  score(completion: string, prompt?: string): number
  /**
   * The share of the rating columns that give `a` more than `b`, a tie counting ½: 0, 0.05 … 1, the soft label of a
   * pair. Two texts without any word of the lexicon tie at 0.5. compare(a, b) = 1 − compare(b, a).
   */
  compare(a: string, b: string, prompt?: string): number
}

/**
 * The preference of a lexicon's ten rating columns.
 *
 * Ratings are summed, not averaged over the words found: an average would prefer one "best" to "best" and three
 * "good", and so would teach a policy to say little. A sum rewards length instead, which is harmless here because
 * every continuation has the same number of tokens.
 *
 * `prompt` is what the texts go on from. Where it ends in a word that the text completes ("hope" + "less …"), that
 * first fragment belongs to neither and is not read.
 */
export function wordPreference(lexicon: Lexicon): WordPreference {
  const ratings = (completion: string, prompt = ''): Int32Array => {
    const sums = new Int32Array(RATERS)
    for (const word of wordsOf(completion, prompt)) {
      const rated = lexicon.get(word)
      if (rated === undefined) continue
      for (let column = 0; column < RATERS; column++) sums[column] += rated[column]
    }
    return sums
  }
  return {
    ratings,
    score: (completion, prompt) => ratings(completion, prompt).reduce((sum, rating) => sum + rating, 0) / RATERS,
    compare: (a, b, prompt) => {
      const [ofA, ofB] = [ratings(a, prompt), ratings(b, prompt)]
      // Counted in halves, so that the share is one division of whole numbers.
      let halves = 0
      for (let column = 0; column < RATERS; column++) halves += 1 + Math.sign(ofA[column] - ofB[column])
      return halves / (2 * RATERS)
    },
  }
}

/**
 * Lower-case words of a text. An apostrophe stays inside a word, so that "won't" is not "won"; the possessive "'s" is
 * dropped; a hyphen divides.
 */
export function wordsOf(completion: string, prompt = ''): string[] {
  const continuesWord = /[A-Za-z']$/.test(prompt) && /^[A-Za-z']/.test(completion)
  const text = continuesWord ? completion.replace(/^[A-Za-z']+/, '') : completion
  const words = text.toLowerCase().match(/[a-z]+(?:'[a-z]+)*/g) ?? []
  return words.map((word) => word.replace(/'s$/, ''))
}
