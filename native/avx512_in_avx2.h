// The AVX-512 that kernels use, in AVX2: two registers at a time, or lane by lane. Included before all else (scripts/avx512.js), it
// lets the kernels for AVX-512 run on a processor without it, slowly and in the same bits, so that tests reach them everywhere. An
// instruction that is missing here does not compile.
//
// The names are those of <immintrin.h>: the types of their arguments find them, and a macro where no argument has one of ours.
#pragma once
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#define __AVX512F__ 1

namespace avx512_in_avx2 {

#define INLINE static inline __attribute__((always_inline))

struct m512 {
  __m256 a, b;
};
struct m512d {
  __m256d a, b;
};
struct m512i {
  __m256i a, b;
};

template <typename To, typename From>
INLINE To as(From x) {
  static_assert(sizeof(To) == sizeof(From), "bits");
  To y;
  std::memcpy(&y, &x, sizeof(x));
  return y;
}
template <typename Lane, int count>
struct Lanes {
  Lane v[count];
};
using Floats = Lanes<float, 16>;
using Doubles = Lanes<double, 8>;
using Words = Lanes<uint32_t, 16>;

// Between types and widths.
INLINE m512 _mm512_castpd_ps(m512d x) { return as<m512>(x); }
INLINE m512d _mm512_castps_pd(m512 x) { return as<m512d>(x); }
INLINE m512i _mm512_castps_si512(m512 x) { return as<m512i>(x); }
INLINE m512 _mm512_castsi512_ps(m512i x) { return as<m512>(x); }
INLINE m512i _mm512_castpd_si512(m512d x) { return as<m512i>(x); }
INLINE m512d _mm512_castsi512_pd(m512i x) { return as<m512d>(x); }
INLINE __m256 _mm512_castps512_ps256(m512 x) { return x.a; }
INLINE __m256d _mm512_castpd512_pd256(m512d x) { return x.a; }
INLINE m512 castps256_ps512(__m256 x) { return {x, x}; }
INLINE m512 broadcast_f32x8(__m256 x) { return {x, x}; }
INLINE __m256 _mm512_extractf32x8_ps(m512 x, int half) { return half == 0 ? x.a : x.b; }
INLINE __m256d _mm512_extractf64x4_pd(m512d x, int half) { return half == 0 ? x.a : x.b; }
INLINE m512 _mm512_insertf32x8(m512 x, __m256 y, int half) { return half == 0 ? m512{y, x.b} : m512{x.a, y}; }
INLINE float _mm512_cvtss_f32(m512 x) { return _mm256_cvtss_f32(x.a); }
INLINE double _mm512_cvtsd_f64(m512d x) { return _mm256_cvtsd_f64(x.a); }
INLINE m512 _mm512_cvtepi32_ps(m512i x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
INLINE m512i _mm512_cvttps_epi32(m512 x) { return {_mm256_cvttps_epi32(x.a), _mm256_cvttps_epi32(x.b)}; }
INLINE __m256 _mm512_cvtpd_ps(m512d x) { return _mm256_set_m128(_mm256_cvtpd_ps(x.b), _mm256_cvtpd_ps(x.a)); }
INLINE m512d cvtps_pd(__m256 x) {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}
INLINE m512 cvtph_ps(__m256i x) {
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(x)), _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1))};
}
INLINE __m256i _mm512_cvtps_ph(m512 x, int /* to nearest even */) {
  return _mm256_set_m128i(_mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
}
INLINE m512i cvtepu16_epi32(__m256i x) {
  return {_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)), _mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1))};
}
INLINE __m256i _mm512_cvtepi32_epi16(m512i x) {
  const Words words = as<Words>(x);
  Lanes<uint16_t, 16> low;
  for (int i = 0; i < 16; ++i) low.v[i] = static_cast<uint16_t>(words.v[i]);
  return as<__m256i>(low);
}

// Memory.
INLINE m512 loadu_ps(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INLINE m512d loadu_pd(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
INLINE m512i loadu_si512(const void* p) {
  m512i x;
  std::memcpy(&x, p, 64);
  return x;
}
INLINE void _mm512_storeu_ps(float* p, m512 x) { std::memcpy(p, &x, 64); }
INLINE void _mm512_storeu_pd(double* p, m512d x) { std::memcpy(p, &x, 64); }
INLINE void _mm512_storeu_si512(void* p, m512i x) { std::memcpy(p, &x, 64); }
INLINE void _mm512_stream_ps(float* p, m512 x) {
  _mm256_stream_ps(p, x.a);
  _mm256_stream_ps(p + 8, x.b);
}

// The same in both halves.
#define SET(type, Type, T) \
  INLINE Type set1_##type(T x) { return {_mm256_set1_##type(x), _mm256_set1_##type(x)}; }
#define BOTH(name, Type) \
  INLINE Type _mm512_##name(Type x, Type y) { return {_mm256_##name(x.a, y.a), _mm256_##name(x.b, y.b)}; }
#define BOTH3(name, Type) \
  INLINE Type _mm512_##name(Type x, Type y, Type z) { return {_mm256_##name(x.a, y.a, z.a), _mm256_##name(x.b, y.b, z.b)}; }
SET(ps, m512, float)
SET(pd, m512d, double)
SET(epi32, m512i, int)
SET(epi16, m512i, short)
BOTH(add_ps, m512) BOTH(sub_ps, m512) BOTH(mul_ps, m512) BOTH(div_ps, m512) BOTH(max_ps, m512) BOTH(min_ps, m512)
BOTH(add_pd, m512d) BOTH(sub_pd, m512d) BOTH(mul_pd, m512d) BOTH(div_pd, m512d) BOTH(max_pd, m512d) BOTH(min_pd, m512d)
BOTH(add_epi32, m512i) BOTH(max_epi16, m512i)
BOTH3(fmadd_ps, m512) BOTH3(fnmadd_ps, m512) BOTH3(fmadd_pd, m512d) BOTH3(fnmadd_pd, m512d)
INLINE m512 _mm512_sqrt_ps(m512 x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
INLINE m512i _mm512_and_si512(m512i x, m512i y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
INLINE m512i _mm512_or_si512(m512i x, m512i y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
INLINE m512i _mm512_slli_epi32(m512i x, int n) { return {_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)}; }
INLINE m512i _mm512_srli_epi32(m512i x, int n) { return {_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)}; }
// The scale is 2^0: to whole numbers.
INLINE m512 _mm512_roundscale_ps(m512 x, int mode) { return {_mm256_round_ps(x.a, mode), _mm256_round_ps(x.b, mode)}; }
INLINE m512d _mm512_roundscale_pd(m512d x, int mode) { return {_mm256_round_pd(x.a, mode), _mm256_round_pd(x.b, mode)}; }
INLINE m512 _mm512_abs_ps(m512 x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
INLINE m512d _mm512_abs_pd(m512d x) {
  const __m256d sign = _mm256_set1_pd(-0.0);
  return {_mm256_andnot_pd(sign, x.a), _mm256_andnot_pd(sign, x.b)};
}
// Bit by bit, that bit of `table` whose number the bits of x, y and z make.
INLINE m512i _mm512_ternarylogic_epi32(m512i x, m512i y, m512i z, int table) {
  const Words a = as<Words>(x), b = as<Words>(y), c = as<Words>(z);
  Words out = {};
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 8; ++k) {
      if ((table >> k & 1) == 0) continue;
      out.v[i] |= (k & 4 ? a.v[i] : ~a.v[i]) & (k & 2 ? b.v[i] : ~b.v[i]) & (k & 1 ? c.v[i] : ~c.v[i]);
    }
  }
  return as<m512i>(out);
}

// Masks.
INLINE __m256i lanes_of(unsigned mask) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(mask)), bit), bit);
}
INLINE __m256d wide_lanes_of(unsigned mask) {
  const __m256i bit = _mm256_setr_epi64x(1, 2, 4, 8);
  return _mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(mask), bit), bit));
}
INLINE __mmask16 _mm512_cmp_ps_mask(m512 x, m512 y, int how) {
  const int low = _mm256_movemask_ps(_mm256_cmp_ps(x.a, y.a, how)), high = _mm256_movemask_ps(_mm256_cmp_ps(x.b, y.b, how));
  return static_cast<__mmask16>(low | high << 8);
}
INLINE __mmask8 _mm512_cmp_pd_mask(m512d x, m512d y, int how) {
  const int low = _mm256_movemask_pd(_mm256_cmp_pd(x.a, y.a, how)), high = _mm256_movemask_pd(_mm256_cmp_pd(x.b, y.b, how));
  return static_cast<__mmask8>(low | high << 4);
}
INLINE __mmask16 test_epi8_mask(__m128i x, __m128i y) {
  return static_cast<__mmask16>(~_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(x, y), _mm_setzero_si128())));
}
INLINE m512 _mm512_mask_blend_ps(__mmask16 m, m512 no, m512 yes) {
  const __m256 low = _mm256_castsi256_ps(lanes_of(m)), high = _mm256_castsi256_ps(lanes_of(m >> 8));
  return {_mm256_blendv_ps(no.a, yes.a, low), _mm256_blendv_ps(no.b, yes.b, high)};
}
INLINE m512d _mm512_mask_blend_pd(__mmask8 m, m512d no, m512d yes) {
  return {_mm256_blendv_pd(no.a, yes.a, wide_lanes_of(m)), _mm256_blendv_pd(no.b, yes.b, wide_lanes_of(m >> 4))};
}
INLINE m512i _mm512_mask_blend_epi32(__mmask16 m, m512i no, m512i yes) {
  return as<m512i>(_mm512_mask_blend_ps(m, as<m512>(no), as<m512>(yes)));
}
INLINE m512 _mm512_mask_loadu_ps(m512 otherwise, __mmask16 m, const float* p) {
  return _mm512_mask_blend_ps(m, otherwise, {_mm256_maskload_ps(p, lanes_of(m)), _mm256_maskload_ps(p + 8, lanes_of(m >> 8))});
}
INLINE void _mm512_mask_storeu_ps(float* p, __mmask16 m, m512 x) {
  _mm256_maskstore_ps(p, lanes_of(m), x.a);
  _mm256_maskstore_ps(p + 8, lanes_of(m >> 8), x.b);
}

// Lanes to other places. Of those with a mask, every lane is wanted.
INLINE m512 _mm512_permutexvar_ps(m512i index, m512 x) {
  const Floats table = as<Floats>(x);
  const Words i = as<Words>(index);
  Floats out;
  for (int k = 0; k < 16; ++k) out.v[k] = table.v[i.v[k] & 15];
  return as<m512>(out);
}
INLINE m512 _mm512_permutex2var_ps(m512 x, m512i index, m512 y) {
  const Floats table[2] = {as<Floats>(x), as<Floats>(y)};
  const Words i = as<Words>(index);
  Floats out;
  for (int k = 0; k < 16; ++k) out.v[k] = table[i.v[k] >> 4 & 1].v[i.v[k] & 15];
  return as<m512>(out);
}
INLINE m512i _mm512_alignr_epi64(m512i high, m512i low, int from) {
  const m512i both[2] = {low, high};
  return loadu_si512(reinterpret_cast<const char*>(both) + 8 * from);
}
INLINE m512 _mm512_maskz_unpacklo_ps(int, m512 x, m512 y) { return {_mm256_unpacklo_ps(x.a, y.a), _mm256_unpacklo_ps(x.b, y.b)}; }
INLINE m512 _mm512_maskz_unpackhi_ps(int, m512 x, m512 y) { return {_mm256_unpackhi_ps(x.a, y.a), _mm256_unpackhi_ps(x.b, y.b)}; }
INLINE m512d _mm512_maskz_unpacklo_pd(int, m512d x, m512d y) { return {_mm256_unpacklo_pd(x.a, y.a), _mm256_unpacklo_pd(x.b, y.b)}; }
INLINE m512d _mm512_maskz_unpackhi_pd(int, m512d x, m512d y) { return {_mm256_unpackhi_pd(x.a, y.a), _mm256_unpackhi_pd(x.b, y.b)}; }
INLINE m512 _mm512_maskz_shuffle_f32x4(int, m512 x, m512 y, int which) {
  const Lanes<__m128, 4> from[2] = {as<Lanes<__m128, 4>>(x), as<Lanes<__m128, 4>>(y)};
  Lanes<__m128, 4> out;
  for (int k = 0; k < 4; ++k) out.v[k] = from[k / 2].v[which >> 2 * k & 3];
  return as<m512>(out);
}
INLINE float _mm512_reduce_max_ps(m512 x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// Powers of 2. x 2^floor(n) is rounded once: f64 holds every f32 times every power of 2 that is not 0 or infinite in f32.
INLINE m512 _mm512_scalef_ps(m512 x, m512 n) {
  Floats out = as<Floats>(x);
  const Floats by = as<Floats>(n);
  for (int i = 0; i < 16; ++i) {
    const double power = std::floor(std::fmin(std::fmax(double{by.v[i]}, -600.0), 600.0));
    out.v[i] = by.v[i] == by.v[i] ? static_cast<float>(std::ldexp(double{out.v[i]}, static_cast<int>(power))) : by.v[i];
  }
  return as<m512>(out);
}
INLINE m512d _mm512_scalef_pd(m512d x, m512d n) {
  Doubles out = as<Doubles>(x);
  const Doubles by = as<Doubles>(n);
  for (int i = 0; i < 8; ++i) {
    const double power = std::floor(std::fmin(std::fmax(by.v[i], -5000.0), 5000.0));
    out.v[i] = by.v[i] == by.v[i] ? std::ldexp(out.v[i], static_cast<int>(power)) : by.v[i];
  }
  return as<m512d>(out);
}
INLINE m512d _mm512_getexp_pd(m512d x) {
  Doubles out = as<Doubles>(x);
  for (double& v : out.v) v = std::logb(v);
  return as<m512d>(out);
}
// Of positive, finite, normal numbers.
INLINE m512d _mm512_getmant_pd(m512d x, int /* in [1, 2) */, int /* the sign is 0 */) {
  Doubles out = as<Doubles>(x);
  for (double& v : out.v) v = std::scalbn(v, -std::ilogb(v));
  return as<m512d>(out);
}

#undef INLINE
#undef SET
#undef BOTH
#undef BOTH3

}  // namespace avx512_in_avx2

#define __m512 avx512_in_avx2::m512
#define __m512d avx512_in_avx2::m512d
#define __m512i avx512_in_avx2::m512i
#define _mm512_castps256_ps512 avx512_in_avx2::castps256_ps512
#define _mm512_broadcast_f32x8 avx512_in_avx2::broadcast_f32x8
#define _mm512_cvtps_pd avx512_in_avx2::cvtps_pd
#define _mm512_cvtph_ps avx512_in_avx2::cvtph_ps
#define _mm512_cvtepu16_epi32 avx512_in_avx2::cvtepu16_epi32
#define _mm512_loadu_ps avx512_in_avx2::loadu_ps
#define _mm512_loadu_pd avx512_in_avx2::loadu_pd
#define _mm512_loadu_si512 avx512_in_avx2::loadu_si512
#define _mm512_set1_ps avx512_in_avx2::set1_ps
#define _mm512_set1_pd avx512_in_avx2::set1_pd
#define _mm512_set1_epi32 avx512_in_avx2::set1_epi32
#define _mm512_set1_epi16 avx512_in_avx2::set1_epi16
#define _mm_test_epi8_mask avx512_in_avx2::test_epi8_mask
