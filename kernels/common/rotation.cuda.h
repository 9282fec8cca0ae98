// Rotary positions (Su et al. 2021, arXiv:2104.09864, eq. 34), halves layout: the pair (i, i + half) of a head is turned by
// position * base^(-i / half). Angles are f64, their sines and cosines are rounded to f32 once.
#pragma once
#include "cuda.h"
#include "rotation.launch.h"

namespace prefgrad {

struct Angle {
  float cosine, sine;
};

// Sine and cosine of |x| <= 2^31 within about 1e-16, without the slow path (and the stack) of the library: quarter turns are
// taken off in three parts (Cody & Waite 1980), Taylor series do the rest, as on the CPU.
PREFGRAD_DEVICE Angle rotation_angle(double x) {
  const double n = rint(x * 0x1.45f306dc9c883p-1);
  double r = fma(-n, 0x1.921fb544p+0, x);
  r = fma(-n, 0x1.0b4611a6p-34, r);
  r = fma(-n, 0x1.3198a2e037073p-69, r);
  const double z = r * r;
  double s = -1.0 / 1307674368000.0;
  s = fma(s, z, 1.0 / 6227020800.0);
  s = fma(s, z, -1.0 / 39916800.0);
  s = fma(s, z, 1.0 / 362880.0);
  s = fma(s, z, -1.0 / 5040.0);
  s = fma(s, z, 1.0 / 120.0);
  s = fma(s, z, -1.0 / 6.0);
  s = fma(s * z, r, r);
  double c = 1.0 / 20922789888000.0;
  c = fma(c, z, -1.0 / 87178291200.0);
  c = fma(c, z, 1.0 / 479001600.0);
  c = fma(c, z, -1.0 / 3628800.0);
  c = fma(c, z, 1.0 / 40320.0);
  c = fma(c, z, -1.0 / 720.0);
  c = fma(c, z, 1.0 / 24.0);
  c = fma(c, z, -0.5);
  c = fma(c, z, 1.0);
  const int quarter = static_cast<int>(static_cast<int64_t>(n) & 3);
  const double cosine = quarter % 2 == 0 ? c : s, sine = quarter % 2 == 0 ? s : c;
  return {static_cast<float>(quarter == 1 || quarter == 2 ? -cosine : cosine), static_cast<float>(quarter >= 2 ? -sine : sine)};
}
PREFGRAD_DEVICE Angle rotation_angle(int64_t position, int pair, int half, double base) {
  return rotation_angle(static_cast<double>(position) * exp(-log(base) * pair / half));
}

// What a thread turns: one pair of `count` heads from `head` on, of a row; none if the row is -1.
struct RotationItem {
  int64_t row;
  int head, count, pair;
};
PREFGRAD_DEVICE RotationItem rotation_item(unsigned block, int64_t rows, int heads, int half) {
  const int width = static_cast<int>(rotation_width(heads, half));
  int64_t row;
  int at;
  if (width < kRotationThreads) {
    const int of_block = kRotationThreads / width, own = static_cast<int>(threadIdx.x) / width;
    row = own < of_block ? int64_t{block} * of_block + own : rows;
    at = static_cast<int>(threadIdx.x) % width;
  } else {
    const unsigned blocks = (width + kRotationThreads - 1) / kRotationThreads;
    row = block / blocks;
    at = static_cast<int>(block % blocks * kRotationThreads + threadIdx.x);
  }
  if (row >= rows || at >= width) return {-1, 0, 0, 0};
  const int head = at / half * kRotationHeads;
  return {row, head, heads - head < kRotationHeads ? heads - head : kRotationHeads, at % half};
}

// y = scale * x turned, or turned back; y may be x. With `add`, y += that. Both point to the row.
template <bool back>
PREFGRAD_DEVICE void rotation_turn(const RotationItem& item, const float* x, float* y, int half, Angle angle, float scale,
                                   bool add) {
  const int first = item.head * 2 * half + item.pair;
  const float s = back ? -angle.sine : angle.sine;
  float one[kRotationHeads], two[kRotationHeads];
  PREFGRAD_UNROLL
  for (int h = 0; h < kRotationHeads; ++h) {
    if (h < item.count) {
      one[h] = x[first + h * 2 * half];
      two[h] = x[first + h * 2 * half + half];
    } else {
      one[h] = two[h] = 0.0f;
    }
  }
  PREFGRAD_UNROLL
  for (int h = 0; h < kRotationHeads; ++h) {
    if (h < item.count) {
      float* const to = y + first + h * 2 * half;
      const float low = fma(-two[h], s, one[h] * angle.cosine) * scale;
      const float high = fma(one[h], s, two[h] * angle.cosine) * scale;
      to[0] = add ? to[0] + low : low;
      to[half] = add ? to[half] + high : high;
    }
  }
}

}  // namespace prefgrad
