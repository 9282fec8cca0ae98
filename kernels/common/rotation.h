// Rotary positions (Su et al. 2021, arXiv:2104.09864, eq. 34), halves layout: the pair (i, i + size / 2) of a head is
// turned by position * base^(-2 i / size). Angles are f64, their sines and cosines are rounded to f32 once.
#pragma once
#include "gemm_pack.h"
#include "trigonometry.h"

namespace prefgrad::PREFGRAD_ISA {

// One head of `size` elements. The angles of a position are `pitch` cosines (one per pair, padded to whole vectors),
// then as many sines.
struct Rotation {
  int64_t size, half, pitch;
  double log_base;

  Rotation(int64_t head_size, double base)
      : size(head_size), half(head_size / 2), pitch(round_up(head_size / 2, 16)), log_base(log_of(base)) {}

  PREFGRAD_INLINE int64_t angle_floats() const { return 2 * pitch; }

  // Angles of the positions [first, first + count), one after the other.
  void angles(int64_t first, int64_t count, float* to) const {
    const double ramp[8] = {0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0};
    const f64x8 scale = f64x8::set(-2.0 * log_base / static_cast<double>(size));
    for (int64_t i = 0; i < pitch; i += 16) {
      const f64x8 low = f64x8::load(ramp) + f64x8::set(static_cast<double>(i));
      const f64x8 low_frequency = exp(low * scale), high_frequency = exp((low + f64x8::set(8.0)) * scale);
      for (int64_t p = 0; p < count; ++p) {
        const f64x8 position = f64x8::set(static_cast<double>(first + p));
        f64x8 low_sine, low_cosine, high_sine, high_cosine;
        sine_and_cosine(position * low_frequency, low_sine, low_cosine);
        sine_and_cosine(position * high_frequency, high_sine, high_cosine);
        float* const out = to + p * angle_floats() + i;
        store(out, narrow(low_cosine, high_cosine));
        store(out + pitch, narrow(low_sine, high_sine));
      }
    }
  }

  // y = scale * x turned forward (or back); y may be x. With `add`, y += that.
  template <bool back = false>
  PREFGRAD_INLINE void turn(const float* x, const float* angle, float scale, float* y, bool add = false) const {
    const f32x16 factor = f32x16::set(scale);
    for (int64_t i = 0; i < half; i += 16) {
      const int64_t n = half - i;
      const f32x16 c = f32x16::load(angle + i), s = f32x16::load(angle + pitch + i);
      const f32x16 one = load_up_to(x + i, n), two = load_up_to(x + half + i, n);
      f32x16 first = back ? fma(two, s, one * c) : fnma(two, s, one * c);
      f32x16 second = back ? fnma(one, s, two * c) : fma(one, s, two * c);
      first = first * factor;
      second = second * factor;
      if (add) {
        first = load_up_to(y + i, n) + first;
        second = load_up_to(y + half + i, n) + second;
      }
      store_up_to(y + i, first, n);
      store_up_to(y + half + i, second, n);
    }
  }
};

}  // namespace prefgrad::PREFGRAD_ISA
