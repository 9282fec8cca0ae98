// See rms_norm.h for the formulas, the passes and the bytes.
#pragma once
#include "../common/gemm_pack.h"
#include "rms_norm.h"

namespace prefgrad::PREFGRAD_ISA {

// Rows whose part of gradWeight is one partial sum; lib/spec/model.ts has the same number.
constexpr int64_t kNormBlock = 64;

// sums[i] += x[i] for the first n of sixteen.
PREFGRAD_INLINE void add_up_to(double* sums, f64x8 low, f64x8 high, int64_t n) {
  if (n >= 16) {
    store(sums, f64x8::load(sums) + low);
    store(sums + 8, f64x8::load(sums + 8) + high);
    return;
  }
  double part[16];
  store(part, low);
  store(part + 8, high);
  for (int64_t i = 0; i < n; ++i) sums[i] += part[i];
}

inline void rms_norm_forward(const RmsNorm& a, int64_t begin, int64_t end, int) {
  for (int64_t row = begin; row < end; ++row) {
    const float* const x = a.x + row * a.H;
    float* const y = a.y + row * a.H;
    Sum16 squares;
    for (int64_t h = 0; h < a.H; h += 16) {
      const f32x16 v = load_up_to(x + h, a.H - h);
      const f64x8 low = low_f64(v), high = high_f64(v);
      squares.add(low * low, high * high);
    }
    const float s = static_cast<float>(1.0 / std::sqrt(squares.total() / static_cast<double>(a.H) + a.epsilon));
    a.inverse_rms[row] = s;
    const f32x16 factor = f32x16::set(s);
    for (int64_t h = 0; h < a.H; h += 16) {
      const int64_t n = a.H - h;
      store_up_to(y + h, load_up_to(x + h, n) * factor * load_up_to(a.weight + h, n), n);
    }
  }
}

inline void rms_norm_backward_rows(const RmsNormBackward& a, int64_t begin, int64_t end, int) {
  const bool add = (a.accumulate & 1) != 0;
  for (int64_t block = begin; block < end; ++block) {
    double* const weight_sums = a.workspace + block * a.H;
    for (int64_t h = 0; h < a.H; ++h) weight_sums[h] = 0.0;
    const int64_t stop = (block + 1) * kNormBlock < a.N ? (block + 1) * kNormBlock : a.N;
    for (int64_t row = block * kNormBlock; row < stop; ++row) {
      const float *x = a.x + row * a.H, *grad_y = a.grad_y + row * a.H;
      float* const grad_x = a.grad_x + row * a.H;
      Sum16 dots;
      for (int64_t h = 0; h < a.H; h += 16) {
        const int64_t n = a.H - h;
        const f32x16 g = load_up_to(grad_y + h, n), w = load_up_to(a.weight + h, n), v = load_up_to(x + h, n);
        dots.add(low_f64(g) * low_f64(w) * low_f64(v), high_f64(g) * high_f64(w) * high_f64(v));
      }
      const double s = a.inverse_rms[row];
      const f64x8 scale = f64x8::set(s);
      const f64x8 pull = f64x8::set(s * s * s * (dots.total() / static_cast<double>(a.H)));
      for (int64_t h = 0; h < a.H; h += 16) {
        const int64_t n = a.H - h;
        const f32x16 g = load_up_to(grad_y + h, n), w = load_up_to(a.weight + h, n), v = load_up_to(x + h, n);
        const f64x8 low = low_f64(g) * scale, high = high_f64(g) * scale;
        f64x8 first = fnma(pull, low_f64(v), low * low_f64(w)), second = fnma(pull, high_f64(v), high * high_f64(w));
        if (add) {
          const f32x16 old = load_up_to(grad_x + h, n);
          first = first + low_f64(old);
          second = second + high_f64(old);
        }
        store_up_to(grad_x + h, narrow(first, second), n);
        add_up_to(weight_sums + h, low * low_f64(v), high * high_f64(v), n);
      }
    }
  }
}

inline void rms_norm_backward_finish(const RmsNormBackward& a, int64_t, int64_t, int) {
  const int64_t blocks = (a.N + kNormBlock - 1) / kNormBlock;
  for (int64_t h = 0; h < a.H; ++h) {
    double sum = (a.accumulate & 2) != 0 ? static_cast<double>(a.grad_weight[h]) : 0.0;
    for (int64_t block = 0; block < blocks; ++block) sum += a.workspace[block * a.H + h];
    a.grad_weight[h] = static_cast<float>(sum);
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
