// See token_logprobs.h for the formulas; row_sum.cuda.h for the sums.
//   token_logprobs_*          reads the logits once, the least there is, and writes 12 B per row; where rows are few it leaves
//                             24 B per 4096 logits
//   token_logprobs_entropy_*  the same, and the entropy: 16 B per row
//   token_logprobs_finish_*   joins what they left
#include "row_sum.cuda.h"

namespace prefgrad {

PREFGRAD_DEVICE bool is_counted_token(const TokenLogprobs& a, int32_t token) {
  return token != a.ignore_index && token >= 0 && token < a.V;
}

PREFGRAD_DEVICE void write_logprob(const TokenLogprobs& a, int64_t row, float logprob, float row_max, float log_sum,
                                   float entropy) {
  a.logprob[row] = logprob;
  a.row_max[row] = row_max;
  a.log_sum[row] = log_sum;
  if (a.entropy != nullptr) a.entropy[row] = entropy;
}

// By a warp, which all comes here or none: the outputs of a row from its pieces.
template <typename Type>
PREFGRAD_DEVICE void write_logprob_row(const TokenLogprobs& a, int64_t row, const LogitPart* parts,
                                       const LogitTransform& transform) {
  const int32_t token = a.tokens[row];
  const bool is_writer = threadIdx.x % kWarp == 0;
  const float nan = nan_f32();
  if (!is_counted_token(a, token)) {
    if (!is_writer) return;
    if (token == a.ignore_index) return write_logprob(a, row, 0.0f, 0.0f, 0.0f, 0.0f);
    a.fault->report(1, row);
    return write_logprob(a, row, nan, nan, nan, nan);
  }
  const LogitPart sum = join_pieces(parts, logit_pieces(a.V));
  if (!is_writer) return;
  // One +inf is certain; two of them, only -inf, or a NaN anywhere give NaN.
  const bool is_finite = fabs(sum.largest) < kLogitInfinity, is_certain = sum.largest == kLogitInfinity && sum.others == 0.0;
  if (!is_finite && !is_certain) return write_logprob(a, row, nan, nan, nan, nan);
  const double log_sum = log1p(sum.others);
  const float x = transform(Type::load(static_cast<const typename Type::Stored*>(a.logits) + row * a.V + token));
  const double gap = x == sum.largest ? 0.0 : static_cast<double>(x) - static_cast<double>(sum.largest);
  write_logprob(a, row, static_cast<float>(gap - log_sum), sum.largest, static_cast<float>(log_sum),
                static_cast<float>(log_sum - sum.moment / (1.0 + sum.others)));
}

template <typename Type, bool entropy>
PREFGRAD_DEVICE void token_logprobs_rows(const TokenLogprobs& a) {
  PREFGRAD_DYNAMIC_SHARED(LogitPart, of_block);
  using Stored = typename Type::Stored;
  const int warp = threadIdx.x / kWarp, warps = logit_warps(a.V), in_block = kLogitWarps / warps, pieces = logit_pieces(a.V);
  // More blocks than the rows need: several for each.
  const int spread = in_block > 1 ? 1 : static_cast<int>(gridDim.x / a.N);
  const int64_t row = int64_t{blockIdx.x / spread} * in_block + warp / warps;
  LogitPart* const parts = spread > 1 ? static_cast<LogitPart*>(a.workspace) + row * pieces : of_block + warp / warps * pieces;
  const LogitTransform transform(a);
  if (row < a.N && is_counted_token(a, a.tokens[row])) {
    const auto* const logits = static_cast<const Stored*>(a.logits);
    PREFGRAD_ROLLED
    for (int piece = static_cast<int>(blockIdx.x % spread) * warps + warp % warps; piece < pieces; piece += spread * warps) {
      const int64_t at = piece * kLogitPiece;
      const int count = static_cast<int>(a.V - at < kLogitPiece ? a.V - at : kLogitPiece);
      const Stored* const p = logits + row * a.V + at;
      const bool reads_aligned = is_readable_aligned<Type>(p, count, logits, a.N * a.V);
      const LogitPart part = sum_piece<Type, entropy>(p, count, reads_aligned, transform);
      if (threadIdx.x % kWarp == 0) parts[piece] = part;
    }
  }
  if (spread > 1) return;
  __syncthreads();
  const int64_t mine = int64_t{blockIdx.x} * in_block + warp;
  if (warp < in_block && mine < a.N) write_logprob_row<Type>(a, mine, of_block + warp * pieces, transform);
}

template <typename Type>
PREFGRAD_DEVICE void token_logprobs_finish(const TokenLogprobs& a) {
  const int64_t row = global_thread() / kWarp;
  if (row >= a.N) return;
  const LogitTransform transform(a);
  write_logprob_row<Type>(a, row, static_cast<const LogitPart*>(a.workspace) + row * logit_pieces(a.V), transform);
}

PREFGRAD_KERNEL(token_logprobs_f32, TokenLogprobs, PREFGRAD_RESIDENT(kLogitThreads, 3)) { token_logprobs_rows<ElementF32, false>(a); }
PREFGRAD_KERNEL(token_logprobs_bf16, TokenLogprobs, PREFGRAD_RESIDENT(kLogitThreads, 4)) { token_logprobs_rows<ElementBf16, false>(a); }
PREFGRAD_KERNEL(token_logprobs_f16, TokenLogprobs, PREFGRAD_RESIDENT(kLogitThreads, 4)) { token_logprobs_rows<ElementF16, false>(a); }
PREFGRAD_KERNEL(token_logprobs_entropy_f32, TokenLogprobs, PREFGRAD_RESIDENT(kLogitThreads, 3)) { token_logprobs_rows<ElementF32, true>(a); }
PREFGRAD_KERNEL(token_logprobs_entropy_bf16, TokenLogprobs, PREFGRAD_RESIDENT(kLogitThreads, 3)) { token_logprobs_rows<ElementBf16, true>(a); }
PREFGRAD_KERNEL(token_logprobs_entropy_f16, TokenLogprobs, PREFGRAD_RESIDENT(kLogitThreads, 3)) { token_logprobs_rows<ElementF16, true>(a); }
PREFGRAD_KERNEL(token_logprobs_finish_f32, TokenLogprobs, kLogitThreads) { token_logprobs_finish<ElementF32>(a); }
PREFGRAD_KERNEL(token_logprobs_finish_bf16, TokenLogprobs, kLogitThreads) { token_logprobs_finish<ElementBf16>(a); }
PREFGRAD_KERNEL(token_logprobs_finish_f16, TokenLogprobs, kLogitThreads) { token_logprobs_finish<ElementF16>(a); }

}  // namespace prefgrad
