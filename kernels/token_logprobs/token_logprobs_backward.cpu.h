// See token_logprobs.h. An entry is e^(x - M) times a factor made in f64 once per row, with the constant parts of
// p_j, of the upstream gradients and of dx/dlogit in it: one exponential and one or two products are left per entry.
#pragma once
#include "logits.cpu.h"
#include "token_logprobs.h"

namespace prefgrad::PREFGRAD_ISA {

// Gradient of logit j (without the token's own term): (base + slant (x_j - M)) e^(x_j - M), times the softcap's slope.
struct RowGradient {
  f32x16 row_max, base, slant;
  float own;  // the token's entry, but for the slope
};

PREFGRAD_INLINE RowGradient row_gradient(const TokenLogprobsBackward& a, int64_t i) {
  const double outer = a.logit_scale * a.inverse_temperature, log_sum = a.log_sum[i], log_p = a.logprob[i];
  const double g = a.grad_logprob[i] * outer;
  const double h = a.grad_entropy != nullptr ? a.grad_entropy[i] * outer : 0.0;
  const double entropy = a.entropy != nullptr ? a.entropy[i] : 0.0;
  const double share = exp_of(-log_sum), p = exp_of(log_p);
  // -p (log p + H) with log p = x - M - logSum; 0 where p is.
  const double spread = p == 0.0 || h == 0.0 ? 0.0 : h * p * (log_p + entropy);
  const double base = -share * (g + (h == 0.0 ? 0.0 : h * (entropy - log_sum)));
  return {f32x16::set(a.row_max[i]), f32x16::set(static_cast<float>(base)),
          f32x16::set(static_cast<float>(-share * h)), static_cast<float>(-g * expm1_of(log_p) - spread)};
}

// gap <= 0 -> e^gap; a gap below -104, where that is 0 in f32, becomes -104, so that 0 * gap is 0 and not NaN. NaN stays. ln 2 is
// one f32 number: results are too large by 4e-9 |gap| of themselves, a tenth of what rounding the gap to f32 may cost. The
// polynomial is a minimax fit of the relative error to 1.06e-7; with all roundings it is 1.63e-7.
template <int count>
PREFGRAD_INLINE void exp_gaps(f32x16 (&gap)[count], f32x16 (&e)[count]) {
  const auto set = [](float x) PREFGRAD_BODY { return f32x16::set(x); };
  const auto lowered = [](float x) PREFGRAD_BODY { return f32x16::set(x * kLowered); };
  const f32x16 rounder = set(kRounder<1>);
  f32x16 sum[count], n[count], r[count];
  for (int k = 0; k < count; ++k) gap[k] = maximum(set(-104.0f), gap[k]);
  for (int k = 0; k < count; ++k) sum[k] = fma(gap[k], set(static_cast<float>(kLog2E)), rounder);
  for (int k = 0; k < count; ++k) n[k] = sum[k] - rounder;
  for (int k = 0; k < count; ++k) r[k] = fnma_once(n[k], set(static_cast<float>(kLn2)), gap[k]);
  for (int k = 0; k < count; ++k) e[k] = fma(lowered(0x1.106282p-7f), r[k], lowered(0x1.5729f0p-5f));
  for (int k = 0; k < count; ++k) e[k] = fma(e[k], r[k], lowered(0x1.5557aep-3f));
  for (int k = 0; k < count; ++k) e[k] = fma(e[k], r[k], lowered(0x1.fffdfcp-2f));
  for (int k = 0; k < count; ++k) e[k] = fma(e[k], r[k], lowered(1.0f));
  for (int k = 0; k < count; ++k) e[k] = fma(e[k], r[k], lowered(1.0f));
  for (int k = 0; k < count; ++k) e[k] = raise_by_power(e[k], n[k], sum[k]);
}

// Entries from vectors of logits side by side; the slope multiplies where the transform is not a straight line.
template <bool slanted, int count, typename Transform>
PREFGRAD_INLINE void gradients(const RowGradient& row, Transform transform, const f32x16 (&logit)[count],
                               f32x16 (&out)[count]) {
  f32x16 x[count], gap[count], e[count];
  for (int k = 0; k < count; ++k) {
    x[k] = transform(logit[k]);
    gap[k] = x[k] - row.row_max;
  }
  exp_gaps(gap, e);
  for (int k = 0; k < count; ++k) {
    out[k] = e[k] * (slanted ? fma(row.slant, gap[k], row.base) : row.base);
    if constexpr (Transform::kBent) out[k] = out[k] * transform.slope(x[k]);
  }
}

// Is `out` memory of its own, and so much that none will still be in the cache when it is read? Then stores that pass
// the cache by save the reading of what they overwrite: a fifth of the time.
PREFGRAD_INLINE bool passes_by(const TokenLogprobsBackward& a) {
  return a.grad_logits != a.logits && (a.accumulate & 1) == 0 && a.N * a.V > (int64_t{1} << 22);
}

template <bool slanted, bool add, typename Logit, typename Transform>
PREFGRAD_INLINE void write_row(const RowGradient& row, const typename Logit::Element* logits,
                               typename Logit::Element* out, int64_t V, int64_t token, Transform transform,
                               bool pass_by) {
  // In place: the token's logit (and what its entry is added to) must be read before its vector is written.
  f32x16 own = f32x16::set(row.own);
  if constexpr (Transform::kBent) own = own * transform.slope(transform(load_some<Logit>(logits + token, 1)));
  if (add) own = own + load_some<Logit>(out + token, 1);
  constexpr int count = Logit::kGradientsAbreast;
  f32x16 logit[count], grad[count];
  const auto some = [&](int64_t i, int64_t n) {
    const auto left = [&](int k) { return n - 16 * k > 16 ? 16 : n - 16 * k > 0 ? n - 16 * k : 0; };
    for (int k = 0; k < count; ++k) logit[k] = load_some<Logit>(logits + i + 16 * k, left(k));
    gradients<slanted>(row, transform, logit, grad);
    for (int k = 0; k < count; ++k) {
      if (add) grad[k] = grad[k] + load_some<Logit>(out + i + 16 * k, left(k));
      store_some<Logit>(out + i + 16 * k, grad[k], left(k));
    }
  };
  int64_t i = 0;
  if constexpr (Logit::kStreams && !add) {
    if (pass_by) {
      i = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(out) / sizeof(*out) % 16);
      i = i < V ? i : V;
      some(0, i);
      for (; i + 16 * count <= V; i += 16 * count) {
        prefetch_after<16 * count>(logits + i);
        for (int k = 0; k < count; ++k) logit[k] = Logit::load(logits + i + 16 * k);
        gradients<slanted>(row, transform, logit, grad);
        for (int k = 0; k < count; ++k) stream(out + i + 16 * k, grad[k]);
      }
    }
  }
  for (; i + 16 * count <= V; i += 16 * count) {
    prefetch_after<16 * count>(logits + i);
    for (int k = 0; k < count; ++k) logit[k] = Logit::load(logits + i + 16 * k);
    gradients<slanted>(row, transform, logit, grad);
    for (int k = 0; k < count; ++k) {
      if (add) grad[k] = grad[k] + Logit::load(out + i + 16 * k);
      Logit::store(out + i + 16 * k, grad[k]);
    }
  }
  some(i, V - i);
  store_some<Logit>(out + token, own, 1);
}

// With +inf as its largest, p is 1 there and 0 elsewhere, and the entropy is flat.
template <typename Logit, typename Transform>
inline void write_certain_row(float certain, float own, const typename Logit::Element* logits,
                              typename Logit::Element* out, int64_t V, int64_t token, Transform transform, bool add) {
  const f32x16 infinity = f32x16::set(std::numeric_limits<float>::infinity()), zero = f32x16::set(0.0f);
  f32x16 own_entry = f32x16::set(own);
  if (add) own_entry = own_entry + load_some<Logit>(out + token, 1);
  for (int64_t i = 0; i < V; i += 16) {
    const int64_t n = V - i < 16 ? V - i : 16;
    f32x16 x = select(equal(transform(load_some<Logit>(logits + i, n)), infinity), f32x16::set(certain), zero);
    if (add) x = x + load_some<Logit>(out + i, n);
    store_some<Logit>(out + i, x, n);
  }
  store_some<Logit>(out + token, own_entry, 1);
}
template <typename Logit>
inline void fill_row(typename Logit::Element* out, int64_t V, float value) {
  typename Logit::Element element[16];
  Logit::store(element, f32x16::set(value));
  for (int64_t i = 0; i < V; ++i) out[i] = element[0];
}

template <typename Logit>
inline void token_logprobs_backward(const TokenLogprobsBackward& a, int64_t begin, int64_t end, int) {
  const bool add = (a.accumulate & 1) != 0, pass_by = passes_by(a);
  with_transform(a, [&](auto transform) {
    for (int64_t i = begin; i < end; ++i) {
      const auto* logits = static_cast<const typename Logit::Element*>(a.logits) + i * a.V;
      auto* out = static_cast<typename Logit::Element*>(a.grad_logits) + i * a.V;
      const int64_t token = a.tokens[i];
      const bool slanted = a.grad_entropy != nullptr && a.grad_entropy[i] != 0.0f;
      if (token == a.ignore_index || (a.grad_logprob[i] == 0.0f && !slanted)) {
        if (!add) fill_row<Logit>(out, a.V, 0.0f);
        continue;
      }
      if (token < 0 || token >= a.V) {
        a.fault->report(1, i);
        fill_row<Logit>(out, a.V, std::numeric_limits<float>::quiet_NaN());
        continue;
      }
      const RowGradient row = row_gradient(a, i);
      if (a.row_max[i] == std::numeric_limits<float>::infinity()) {
        const double certain = -a.logit_scale * a.inverse_temperature * a.grad_logprob[i];
        write_certain_row<Logit>(static_cast<float>(certain), row.own, logits, out, a.V, token, transform, add);
      } else if (slanted) {
        add ? write_row<true, true, Logit>(row, logits, out, a.V, token, transform, pass_by)
            : write_row<true, false, Logit>(row, logits, out, a.V, token, transform, pass_by);
      } else {
        add ? write_row<false, true, Logit>(row, logits, out, a.V, token, transform, pass_by)
            : write_row<false, false, Logit>(row, logits, out, a.V, token, transform, pass_by);
      }
    }
  });
  if (pass_by) stream_fence();
}

}  // namespace prefgrad::PREFGRAD_ISA
