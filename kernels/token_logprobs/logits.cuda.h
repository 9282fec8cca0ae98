// What both directions share on CUDA: the transform of logits, and e^(x - largest).
#pragma once
#include "../common/elements.cuda.h"

namespace prefgrad {

constexpr float kLogitInfinity = INFINITY;
// The lowest f32. As the largest so far it stands for nothing, without the NaN of -inf - -inf.
constexpr float kLogitLowest = -0x1.fffffep+127f;
// e^gap is 0 below it, and so is 0 * gap with it in the place of -inf.
constexpr float kLogitFar = -104.0f;
constexpr float kLogitLog2E = 0x1.715476p+0f;
constexpr float kLogitLog2ELow = 0x1.4ae0cp-26f;  // log2(e) - kLogitLog2E
constexpr float kLogitLn2 = 0x1.62e430p-1f;

// 2^x in one instruction to 2 ULP; subnormal results are 0.
PREFGRAD_DEVICE float logit_exp2(float x) {
#if defined(__CUDACC__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  const float y = std::exp2(x);
  return y < 0x1p-126f ? 0.0f : y;
#endif
}

// a / b to 2 ULP, b of ordinary size.
PREFGRAD_DEVICE float logit_quotient(float a, float b) {
#if defined(__CUDACC__)
  float y;
  asm("div.full.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
#else
  return a / b;
#endif
}

// NaN stays.
PREFGRAD_DEVICE float logit_near(float gap) { return gap < kLogitFar ? kLogitFar : gap; }

// What e^gap = 2^t (1 + ln 2 * rest) lacks when t is gap * log2(e), rounded.
PREFGRAD_DEVICE float logit_rest(float gap, float t) {
  return fma(gap, kLogitLog2ELow, fma(gap, kLogitLog2E, -t));
}

// tanh as in math.h: an odd polynomial below 0.8, 1 - 2 e / (1 + e) with e = e^-2|x| above it.
PREFGRAD_DEVICE float logit_tanh(float x) {
  const float size = fabs(x), u = x * x;
  float p = -0x1.2aa83cp-11f;
  p = fma(p, u, 0x1.754130p-9f);
  p = fma(p, u, -0x1.16b03ep-7f);
  p = fma(p, u, 0x1.64b06ep-6f);
  p = fma(p, u, -0x1.b9fc56p-5f);
  p = fma(p, u, 0x1.111080p-3f);
  p = fma(p, u, -0x1.555554p-2f);
  const float e = logit_exp2(-2.0f * kLogitLog2E * size), far = 1.0f - logit_quotient(e + e, 1.0f + e);
  return size < 0.8f ? fma(p * u, x, x) : x < 0.0f ? -far : far;
}

// logits -> x.
struct LogitTransform {
  float factor, inner, height, inverse_height;
  bool is_bent;

  template <typename Args>
  PREFGRAD_MEMBER explicit LogitTransform(const Args& a)
      : factor(static_cast<float>(a.logit_scale * a.inverse_temperature)),
        inner(0.0f),
        height(0.0f),
        inverse_height(0.0f),
        is_bent(a.softcap > 0.0) {
    if (!is_bent) return;
    const double of_cap = a.softcap * a.inverse_temperature;
    inner = static_cast<float>(a.logit_scale / a.softcap);
    height = static_cast<float>(of_cap);
    inverse_height = static_cast<float>(1.0 / of_cap);
  }
  PREFGRAD_MEMBER float operator()(float logit) const {
    return is_bent ? height * logit_tanh(inner * logit) : logit * factor;
  }
  // The largest x of logits whose largest (where the transform falls, whose lowest with the sign changed) is `top`.
  PREFGRAD_MEMBER bool falls() const { return factor < 0.0f; }
  PREFGRAD_MEMBER float of_top(float top) const { return (*this)(falls() ? -top : top); }
  // One branch for all of them.
  template <int count>
  PREFGRAD_MEMBER void apply(float (&x)[count]) const {
    if (is_bent) {
      for (int k = 0; k < count; ++k) x[k] = height * logit_tanh(inner * x[k]);
    } else {
      for (int k = 0; k < count; ++k) x[k] = x[k] * factor;
    }
  }
  // 1 - tanh^2 from x, where the transform is bent: dx/dlogit is that times a constant.
  PREFGRAD_MEMBER float slope(float x) const {
    const float t = x * inverse_height;
    return fma(-t, t, 1.0f);
  }
};

}  // namespace prefgrad
