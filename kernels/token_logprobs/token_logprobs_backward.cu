// See token_logprobs.h for the formulas; an entry is e^(x - M) times a factor that is made in f64 once per block.
//   token_logprobs_backward_*  reads the logits once and writes the gradient once, the least there is, in place if wanted; rows that
//                              nothing flows into are written alone
#include "logits.cuda.h"
#include "token_logprobs.launch.h"

namespace prefgrad {

// What becomes of a row.
constexpr int kLogitsKept = 0, kLogitsFilled = 1, kLogitsCertain = 2, kLogitsOrdinary = 3;

// Gradient of logit j (without the token's own term): (base + slant (x_j - M)) e^(x_j - M), times the softcap's slope.
struct LogitGradient {
  int kind;
  float row_max, base, slant;
  float own;   // the token's entry, but for the slope
  float fill;  // what the row is filled with, or a certain token's entry
};

template <typename Type>
PREFGRAD_DEVICE LogitGradient logit_gradient(const TokenLogprobsBackward& a, int64_t row, bool reports) {
  const bool adds = (a.accumulate & 1) != 0;
  const int32_t token = a.tokens[row];
  const double outer = a.logit_scale * a.inverse_temperature;
  const double g = a.grad_logprob[row] * outer, h = a.grad_entropy != nullptr ? a.grad_entropy[row] * outer : 0.0;
  const bool is_idle = a.grad_logprob[row] == 0.0f && (a.grad_entropy == nullptr || a.grad_entropy[row] == 0.0f);
  if (token == a.ignore_index || is_idle) return {adds ? kLogitsKept : kLogitsFilled, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  if (token < 0 || token >= a.V) {
    if (reports) a.fault->report(1, row);
    return {kLogitsFilled, 0.0f, 0.0f, 0.0f, 0.0f, nan_f32()};
  }
  const double log_sum = a.log_sum[row], log_p = a.logprob[row], entropy = a.entropy != nullptr ? a.entropy[row] : 0.0;
  const double share = exp(-log_sum), p = exp(log_p);
  // -p (log p + H) with log p = x - M - logSum; 0 where p is.
  const double spread = p == 0.0 || h == 0.0 ? 0.0 : h * p * (log_p + entropy);
  const double base = -share * (g + (h == 0.0 ? 0.0 : h * (entropy - log_sum)));
  return {a.row_max[row] == kLogitInfinity ? kLogitsCertain : kLogitsOrdinary,
          a.row_max[row],
          static_cast<float>(base),
          static_cast<float>(-share * h),
          static_cast<float>(-g * expm1(log_p) - spread),
          static_cast<float>(-g)};
}

template <typename Type>
PREFGRAD_DEVICE float logit_entry(const LogitGradient& row, float x) {
  // With +inf as its largest, p is 1 there and 0 elsewhere, and the entropy is flat.
  if (row.kind == kLogitsCertain) return x == kLogitInfinity ? row.fill : 0.0f;
  const float gap = logit_near(x - row.row_max), t = gap * kLogitLog2E;
  float e = logit_exp2(t);
  if (sizeof(typename Type::Stored) == 4) e = fma(e, kLogitLn2 * logit_rest(gap, t), e);
  return e * fma(row.slant, gap, row.base);
}

// The elements [first, last) of a row, by the block.
template <typename Type>
PREFGRAD_DEVICE void write_gradients(const LogitGradient& row, const LogitTransform& transform, bool adds,
                                     const typename Type::Stored* logits, typename Type::Stored* out, int64_t first,
                                     int64_t last, int64_t token) {
  constexpr int count = Type::count, abreast = 4;
  const auto singly = [&](int64_t i) {
    const float x = transform(Type::load(logits + i));
    float entry = i == token ? row.own : logit_entry<Type>(row, x);
    if (transform.is_bent && row.kind == kLogitsOrdinary) entry = entry * transform.slope(x);
    if (adds) entry = entry + Type::load(out + i);
    Type::store(out + i, entry);
  };
  const auto bytes_beyond = [&](const void* p) { return static_cast<int>(reinterpret_cast<uintptr_t>(p) % 16); };
  const int skip = bytes_beyond(logits + first);
  if (skip != bytes_beyond(out + first) || transform.is_bent || row.kind == kLogitsCertain) {
    for (int64_t i = first + threadIdx.x; i < last; i += kLogitThreads) singly(i);
    return;
  }
  // Up to the first multiple of 16 bytes and from the last one on element by element, between them by vectors.
  const int64_t head = (16 - skip) % 16 / static_cast<int>(sizeof(*out)), begin = first + head < last ? first + head : last;
  const int vectors = static_cast<int>((last - begin) / count);
  const int64_t end = begin + int64_t{vectors} * count;
  PREFGRAD_ROLLED
  for (int64_t i = first + threadIdx.x; i < begin; i += kLogitThreads) singly(i);
  PREFGRAD_ROLLED
  for (int64_t i = end + threadIdx.x; i < last; i += kLogitThreads) singly(i);
  const auto* const from = reinterpret_cast<const Words*>(logits + begin);
  auto* const to = reinterpret_cast<Words*>(out + begin);
  PREFGRAD_ROLLED
  for (int v = threadIdx.x; v < vectors; v += abreast * kLogitThreads) {
    Words in[abreast];
    for (int k = 0; k < abreast; ++k) {
      if (v + k * kLogitThreads < vectors) in[k] = read_once(from + v + k * kLogitThreads);
    }
    for (int k = 0; k < abreast; ++k) {
      const int at = v + k * kLogitThreads;
      if (at >= vectors) break;
      float x[count];
      Type::widen(in[k], x);
      for (int j = 0; j < count; ++j) x[j] = logit_entry<Type>(row, x[j] * transform.factor);
      const int64_t own = token - begin - int64_t{at} * count;
      if (own >= 0 && own < count) {
        for (int j = 0; j < count; ++j) x[j] = j == own ? row.own : x[j];
      }
      if (adds) {
        float old[count];
        Type::widen(to[at], old);
        for (int j = 0; j < count; ++j) x[j] = x[j] + old[j];
      }
      write_once(to + at, Type::narrow(x));
    }
  }
}

template <typename Type>
PREFGRAD_DEVICE void fill_gradients(typename Type::Stored* out, int64_t first, int64_t last, float value) {
  constexpr int count = Type::count;
  const int64_t head = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(out + first) % 16 / sizeof(*out));
  const int64_t begin = first + head < last ? first + head : last, end = begin + (last - begin) / count * count;
  float x[count];
  for (int k = 0; k < count; ++k) x[k] = value;
  const Words words = Type::narrow(x);
  for (int64_t i = first + threadIdx.x; i < begin; i += kLogitThreads) Type::store(out + i, value);
  for (int64_t i = begin + threadIdx.x * count; i < end; i += kLogitThreads * count) {
    write_once(reinterpret_cast<Words*>(out + i), words);
  }
  for (int64_t i = end + threadIdx.x; i < last; i += kLogitThreads) Type::store(out + i, value);
}

template <typename Type>
PREFGRAD_DEVICE void token_logprobs_gradients(const TokenLogprobsBackward& a) {
  using Stored = typename Type::Stored;
  PREFGRAD_SHARED(LogitGradient, of_row, 1);
  const int64_t parts = (a.V + kLogitGradients - 1) / kLogitGradients;
  const int64_t row = blockIdx.x / parts, first = blockIdx.x % parts * kLogitGradients;
  const int64_t last = first + kLogitGradients < a.V ? first + kLogitGradients : a.V;
  if (threadIdx.x == 0) of_row[0] = logit_gradient<Type>(a, row, first == 0);
  __syncthreads();
  const LogitGradient gradient = of_row[0];
  Stored* const out = static_cast<Stored*>(a.grad_logits) + row * a.V;
  if (gradient.kind == kLogitsKept) return;
  if (gradient.kind == kLogitsFilled) return fill_gradients<Type>(out, first, last, gradient.fill);
  const LogitTransform transform(a);
  const Stored* const logits = static_cast<const Stored*>(a.logits) + row * a.V;
  write_gradients<Type>(gradient, transform, (a.accumulate & 1) != 0, logits, out, first, last, a.tokens[row]);
}

PREFGRAD_KERNEL(token_logprobs_backward_f32, TokenLogprobsBackward, kLogitThreads) {
  token_logprobs_gradients<ElementF32>(a);
}
PREFGRAD_KERNEL(token_logprobs_backward_bf16, TokenLogprobsBackward, kLogitThreads) {
  token_logprobs_gradients<ElementBf16>(a);
}
PREFGRAD_KERNEL(token_logprobs_backward_f16, TokenLogprobsBackward, kLogitThreads) {
  token_logprobs_gradients<ElementF16>(a);
}

}  // namespace prefgrad
