// The exponential of tokenLogprobs: kUnit e^y as a product of two factors, which a sum takes by fma. 2^(j/32) from a table
// leaves the polynomial |r| <= ln(2)/64, and degree 2 is enough (Tang 1989): half the operations of one without a table.
#pragma once
#include "logits.cpu.h"

namespace prefgrad::PREFGRAD_ISA {

// y -> 2^N 2^(j/32) times a parabola in r, with n = N + j/32 = y / ln 2 rounded to 32nds, r = y - n ln 2. The parabola is a
// minimax fit of the relative error to 2 e^r, 5.4e-8; it is written so that one of its operations is a plain addition. A first
// entry of the table was looked for by which all 32 lose little when they are rounded, 2.6e-8, and the last 24 are products of
// the first eight. With all roundings: 1.4e-7. The powers of 2 in the table make room below.
constexpr float kPowers[32] = {
    0x1.eb670ap+33f, 0x1.f629aep+33f, 0x1.009452p+34f, 0x1.06329ep+34f, 0x1.0bf06ap+34f, 0x1.11ce64p+34f, 0x1.17cd42p+34f,
    0x1.1dedbcp+34f, 0x1.24308ep+34f, 0x1.2a967ap+34f, 0x1.312042p+34f, 0x1.37ceb2p+34f, 0x1.3ea296p+34f, 0x1.459cc0p+34f,
    0x1.4cbe06p+34f, 0x1.540744p+34f, 0x1.5b795ap+34f, 0x1.63152ep+34f, 0x1.6adba8p+34f, 0x1.72cdb8p+34f, 0x1.7aec52p+34f,
    0x1.833870p+34f, 0x1.8bb312p+34f, 0x1.945d3ap+34f, 0x1.9d37f6p+34f, 0x1.a64454p+34f, 0x1.af836ap+34f, 0x1.b8f656p+34f,
    0x1.c29e3ap+34f, 0x1.cc7c3ep+34f, 0x1.d69192p+34f, 0x1.e0df6cp+34f};
constexpr float kSteps[4] = {0.0f, 0x1.837f04p-3f, 0x1.a8279ap-2f, 0x1.5d13f2p-1f};  // 2^(j/4) - 1
static_assert(are_products(kPowers, kSteps), "the same bits on every ISA");
constexpr double kUnit = 0x1.eb6709f226217p+33 * 2.000014781112763;
constexpr float kLn2F = static_cast<float>(kLn2);

struct UnitPowers {
  ProductTable table = ProductTable::set(kPowers, kSteps);

  // kUnit e^y of vectors side by side: `scale` times `curve`.
  PREFGRAD_INLINE void operator()(const f32x16 (&y)[kAbreast], f32x16 (&scale)[kAbreast], f32x16 (&curve)[kAbreast]) const {
    const f32x16 rounder = f32x16::set(kRounder<32>), log2_e = f32x16::set(static_cast<float>(kLog2E));
    const f32x16 ln2 = f32x16::set(kLn2F), slope = f32x16::set(0x1.00017p+1f), height = f32x16::set(0x1.00007cp+1f);
    f32x16 sum[kAbreast], n[kAbreast], r[kAbreast];
    PREFGRAD_ABREAST sum[k] = fma(y[k], log2_e, rounder);
    PREFGRAD_ABREAST n[k] = sum[k] - rounder;
    PREFGRAD_ABREAST r[k] = fnma_once(n[k], ln2, y[k]);
    PREFGRAD_ABREAST scale[k] = table.scaled(n[k], sum[k]);
    PREFGRAD_ABREAST curve[k] = r[k] + slope;
    PREFGRAD_ABREAST curve[k] = fma(r[k], curve[k], height);
  }
};

// One of them.
inline double unit_power_f32(float y) {
  f32x16 ys[kAbreast], scale[kAbreast], curve[kAbreast];
  PREFGRAD_ABREAST ys[k] = f32x16::set(y);
  UnitPowers{}(ys, scale, curve);
  return first_lane(scale[0]) * first_lane(curve[0]);
}

// By so much kLn2F is too large: a term that has n of them is too large by kExcess per unit of x that it lies below 0, and
// compared with the largest term by as much per unit of x between the two.
constexpr double kExcess = kLn2F / kLn2 - 1.0;
// kUnit e^y in f64, with that in it.
inline double unit_power_of(double y) { return kUnit * exp_of(y * (1.0 - kExcess)); }

}  // namespace prefgrad::PREFGRAD_ISA
