/** One function per op, in the order of the documentation: all that the library computes. */
import { op } from './op.ts'

// Log-probabilities

/**
 * Log-probability of one token per row of logits, in one read of the logits.
 *
 * Source: log softmax(x)[token]; kept as rowMax and logSum so that p -> 1 keeps its digits.
 */
export const tokenLogprobs = op('tokenLogprobs')

/**
 * Gradient of token log-probabilities (and entropies) with respect to the logits: one read, one write, in place if wanted.
 *
 * Source: g (1[j = token] - p_j) - g_H p_j (log p_j + H), then the chain rule of softcap, scale and temperature.
 */
export const tokenLogprobsBackward = op('tokenLogprobsBackward')

/**
 * Token log-probabilities added up (or averaged) per sequence, and their log-ratio to a reference.
 *
 * Source: sums of per-token differences in f64: long pairs flip sign in f32.
 */
export const sequenceLogprobs = op('sequenceLogprobs')

/**
 * Spreads a gradient per sequence over its valid tokens.
 *
 * Source: d(sum)/d(token) = 1, d(mean)/d(token) = 1/count.
 */
export const sequenceLogprobsBackward = op('sequenceLogprobsBackward')

// Rewards, advantages, returns

/**
 * KL-shaped rewards: the score where it falls, minus klCoefficient times a per-token KL estimate everywhere.
 *
 * Source: Ziegler et al. 2019 (arXiv:1909.08593) eq. 2, per token; estimators after Schulman 2020.
 */
export const tokenRewards = op('tokenRewards')

/**
 * Generalized advantage estimation over [B, T] or packed sequences, parallel in T.
 *
 * Source: Schulman et al. 2016 (arXiv:1506.02438) eq. 16.
 */
export const gae = op('gae')

/**
 * Shifts and scales the valid values to mean 0 and variance 1.
 *
 * Source: (x - mean) / sqrt(variance + epsilon), moments over valid positions in f64.
 */
export const whiten = op('whiten')

// Policy and value losses

/**
 * Clipped PPO surrogate: loss, gradient and clip statistics; token or sequence ratio (GSPO), asymmetric and dual clip.
 *
 * Source: Schulman et al. 2017 (arXiv:1707.06347) eq. 7; dual clip: Ye et al. 2020 (arXiv:1912.09729) eq. 5; sequence ratio: GSPO (arXiv:2507.18071) eq. 5-7.
 */
export const ppoPolicyLoss = op('ppoPolicyLoss')

/**
 * KL penalty toward a reference from sampled tokens, with the estimator and the gradient named apart.
 *
 * Source: Schulman 2020 (k1, k2, k3); unbiased reverse-KL gradient: score-function form kl + d kl/d logprob.
 */
export const klPenalty = op('klPenalty')

/**
 * Value loss scale * (V - R)^2, optionally clipped around the old value, with explained variance.
 *
 * Source: Schulman et al. 2017 (arXiv:1707.06347) eq. 9; value clip as in the OpenAI baselines: max of clipped and unclipped.
 */
export const ppoValueLoss = op('ppoValueLoss')

// Reward models

/**
 * Bradley-Terry reward loss with margins, soft preferences, label smoothing and centering.
 *
 * Source: Bradley & Terry 1952; Ouyang et al. 2022 (arXiv:2203.02155) eq. 1; margin: Touvron et al. 2023 (arXiv:2307.09288) eq. 2.
 */
export const bradleyTerryLoss = op('bradleyTerryLoss')

// Preference losses

/**
 * Direct preference optimization on sequence log-probabilities, twelve kinds, with rewards and gradients.
 *
 * Source: Rafailov et al. 2023 (arXiv:2305.18290) eq. 7; kinds: cDPO, robust (2403.00409), hinge/SLiC (2305.10425), IPO (2310.12036) eq. 17, EXO (2402.00856), NCA (2402.05369), BCO (2404.04656), SPPO (2405.00675), APO (2408.06266), DiscoPOP (2406.08414).
 */
export const dpoLoss = op('dpoLoss')

// Optimizer

/**
 * Euclidean norm of a flat gradient, the same bits every time.
 *
 * Source: sqrt(sum g^2), partial sums in f64 in a fixed order.
 */
export const gradNorm = op('gradNorm')

/**
 * AdamW in place over flat parameters: decoupled decay, clipping by a given norm, refusal of non-finite gradients.
 *
 * Source: Loshchilov & Hutter 2019 (arXiv:1711.05101) algorithm 2; bias correction -expm1(step ln beta) in f64.
 */
export const adamw = op('adamw')

// The built-in policy's ops

/**
 * Looks rows of a table up.
 *
 * Source: y_i = table[ids_i].
 */
export const embedding = op('embedding')

/**
 * Adds the gradients of equal ids up, in order of position.
 *
 * Source: gradTable_v = sum over i with ids_i = v of gradY_i.
 */
export const embeddingBackward = op('embeddingBackward')

/**
 * Matrix product with a weight, in true f32 with one fixed order of terms: a row has the same bits in any batch.
 *
 * Source: y = x weight^T + bias; each y is one fma chain over k = 0, 1, ... starting from 0.
 */
export const linear = op('linear')

/**
 * Gradients of linear; each can be left out.
 *
 * Source: gradX = gradY weight; gradWeight = gradY^T x; gradBias = sum of rows of gradY; the first two are fma chains in rising order (gradWeight on a GPU: by parts of the rows).
 */
export const linearBackward = op('linearBackward')

/**
 * Root-mean-square normalisation of rows.
 *
 * Source: Zhang & Sennrich 2019 (arXiv:1910.07467) eq. 4: y = x / sqrt(mean(x^2) + epsilon) * weight.
 */
export const rmsNorm = op('rmsNorm')

/**
 * Gradients of rmsNorm.
 *
 * Source: gradX = s (gradY w - x s^2 mean(gradY w x)) with s = inverseRms; gradWeight = sum over rows of gradY x s.
 */
export const rmsNormBackward = op('rmsNormBackward')

/**
 * Rotates pairs of each head by an angle that grows with the position.
 *
 * Source: Su et al. 2021 (arXiv:2104.09864) eq. 34, halves layout: pairs (i, i + headSize/2), angle position * base^(-2i/headSize).
 */
export const rotary = op('rotary')

/**
 * Causal grouped-query attention with rotary positions; packed or padded; a cache of rotated keys may be longer than the queries.
 *
 * Source: Vaswani et al. 2017 (arXiv:1706.03762) eq. 1; rotary: Su et al. 2021 (arXiv:2104.09864) eq. 34; scores * headSize^(-1/2).
 */
export const rotaryAttention = op('rotaryAttention')

/**
 * Gradients of rotaryAttention for training (keys laid out as queries), probabilities recomputed.
 *
 * Source: Dao et al. 2022 (arXiv:2205.14135) appendix B.2: D = sum gradY y, gradScore = p (gradY value - D).
 */
export const rotaryAttentionBackward = op('rotaryAttentionBackward')

/**
 * Gated unit of the feed-forward block.
 *
 * Source: Shazeer 2020 (arXiv:2002.05202) eq. 6: y = gate * sigmoid(gate) * up.
 */
export const swiglu = op('swiglu')

/**
 * Gradients of swiglu.
 *
 * Source: with s = sigmoid(gate): gradGate = gradY up s (1 + gate (1 - s)), gradUp = gradY gate s.
 */
export const swigluBackward = op('swigluBackward')

/**
 * Sum of two tensors of one shape; its gradient with respect to both is the upstream gradient itself.
 *
 * Source: z = x + y.
 */
export const add = op('add')

/**
 * y += alpha * x, in place.
 *
 * Source: BLAS axpy.
 */
export const axpy = op('axpy')

/**
 * Sets every element, in place.
 *
 * Source: x_i = value.
 */
export const fill = op('fill')

/**
 * Copies a tensor.
 *
 * Source: y = x.
 */
export const copy = op('copy')

/**
 * Changes the element type: widening is exact, narrowing rounds to nearest even.
 *
 * Source: IEEE 754 round to nearest, ties to even; bf16 is the upper half of an f32.
 */
export const cast = op('cast')

/**
 * Picks rows.
 *
 * Source: y_i = x[rows_i].
 */
export const gatherRows = op('gatherRows')

/**
 * Adds the gradients of picked rows up where they came from, in order.
 *
 * Source: gradX_m = sum over i with rows_i = m of gradY_i.
 */
export const gatherRowsBackward = op('gatherRowsBackward')

/**
 * Writes rows into a larger tensor, in place (a cache); rows that are not named stay as they are.
 *
 * Source: into[rows_i] = x_i; of equal row numbers the last wins.
 */
export const scatterRows = op('scatterRows')

/**
 * One row per sequence: the mean of its valid rows, or its last valid row.
 *
 * Source: y_b = mean over valid t of x_bt, or x_b,last; 0 for a sequence without a valid row.
 */
export const poolRows = op('poolRows')

/**
 * Spreads the gradient of pooled rows.
 *
 * Source: gradX_bt = gradPooled_b / count_b for valid t (mean), or gradPooled_b at the last valid t.
 */
export const poolRowsBackward = op('poolRowsBackward')

/**
 * Samples one token per row of logits; equal logits bits, seed, counter and stream give the same token on every device.
 *
 * Source: inverse CDF over integer weights floor(2^30 exp((x - max) / temperature)); random bits: Philox4x32-10 (Salmon et al. 2011).
 */
export const sampleTokens = op('sampleTokens')
