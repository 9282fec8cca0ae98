// AVX-512 (F, BW, DQ, VL): one register per vector, masks in mask registers.
#pragma once

namespace prefgrad::PREFGRAD_ISA {

struct m16 {
  __mmask16 m;
};
struct m8 {
  __mmask8 m;
};
PREFGRAD_INLINE m16 operator&(m16 a, m16 b) { return {static_cast<__mmask16>(a.m & b.m)}; }
PREFGRAD_INLINE m16 operator|(m16 a, m16 b) { return {static_cast<__mmask16>(a.m | b.m)}; }
PREFGRAD_INLINE m16 operator~(m16 a) { return {static_cast<__mmask16>(~a.m)}; }
PREFGRAD_INLINE m8 operator&(m8 a, m8 b) { return {static_cast<__mmask8>(a.m & b.m)}; }
PREFGRAD_INLINE m8 operator|(m8 a, m8 b) { return {static_cast<__mmask8>(a.m | b.m)}; }
PREFGRAD_INLINE m8 operator~(m8 a) { return {static_cast<__mmask8>(~a.m)}; }
PREFGRAD_INLINE bool any(m16 a) { return a.m != 0; }
PREFGRAD_INLINE bool any(m8 a) { return a.m != 0; }
PREFGRAD_INLINE unsigned bits(m16 a) { return a.m; }
PREFGRAD_INLINE unsigned bits(m8 a) { return a.m; }
// The first n lanes.
PREFGRAD_INLINE m16 first16(int64_t n) { return {static_cast<__mmask16>(n >= 16 ? 0xffff : (1u << n) - 1)}; }
PREFGRAD_INLINE m8 first8(int64_t n) { return {static_cast<__mmask8>(n >= 8 ? 0xff : (1u << n) - 1)}; }
// Lanes whose byte is not zero.
PREFGRAD_INLINE m16 nonzero16(const uint8_t* p) {
  const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm_test_epi8_mask(b, b)};
}

// How often lanes were set.
struct LaneCount {
  int64_t n = 0;
  PREFGRAD_INLINE void add(m16 a) { n += __builtin_popcount(a.m); }
  PREFGRAD_INLINE int64_t total() const { return n; }
};

struct i32x16 {
  __m512i v;
  static PREFGRAD_INLINE i32x16 set(int32_t x) { return {_mm512_set1_epi32(x)}; }
  static PREFGRAD_INLINE i32x16 load(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
};
PREFGRAD_INLINE i32x16 operator+(i32x16 a, i32x16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
PREFGRAD_INLINE i32x16 operator&(i32x16 a, i32x16 b) { return {_mm512_and_si512(a.v, b.v)}; }
PREFGRAD_INLINE void store(int32_t* p, i32x16 a) { _mm512_storeu_si512(p, a.v); }

struct f32x16 {
  __m512 v;
  static PREFGRAD_INLINE f32x16 set(float x) { return {_mm512_set1_ps(x)}; }
  static PREFGRAD_INLINE f32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  // Lanes 0..n-1 from memory, the rest `fill`; nothing beyond n is touched.
  static PREFGRAD_INLINE f32x16 load_first(const float* p, int64_t n, float fill) {
    return {_mm512_mask_loadu_ps(_mm512_set1_ps(fill), first16(n).m, p)};
  }
  static PREFGRAD_INLINE f32x16 load_bf16(const uint16_t* p) {
    const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))};
  }
  static PREFGRAD_INLINE f32x16 load_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
};
PREFGRAD_INLINE void store(float* p, f32x16 a) { _mm512_storeu_ps(p, a.v); }
PREFGRAD_INLINE void stream(float* p, f32x16 a) { _mm512_stream_ps(p, a.v); }
PREFGRAD_INLINE void store_first(float* p, f32x16 a, int64_t n) { _mm512_mask_storeu_ps(p, first16(n).m, a.v); }
PREFGRAD_INLINE void store_f16(uint16_t* p, f32x16 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
// Round to nearest even on the bits; NaN stays NaN (quiet).
PREFGRAD_INLINE void store_bf16(uint16_t* p, f32x16 a) {
  const __m512i u = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(0x40));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(nan, rounded, quiet)));
}
PREFGRAD_INLINE f32x16 operator+(f32x16 a, f32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
PREFGRAD_INLINE f32x16 operator-(f32x16 a, f32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
PREFGRAD_INLINE f32x16 operator*(f32x16 a, f32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
PREFGRAD_INLINE f32x16 operator/(f32x16 a, f32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
PREFGRAD_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
PREFGRAD_INLINE f32x16 fnma(f32x16 a, f32x16 b, f32x16 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
// The same, rounded once on ISAs without an FMA instruction too.
PREFGRAD_INLINE f32x16 fnma_once(f32x16 a, f32x16 b, f32x16 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
PREFGRAD_INLINE f32x16 maximum(f32x16 a, f32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
PREFGRAD_INLINE f32x16 minimum(f32x16 a, f32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
PREFGRAD_INLINE f32x16 square_root(f32x16 a) { return {_mm512_sqrt_ps(a.v)}; }
PREFGRAD_INLINE f32x16 round_even(f32x16 a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
PREFGRAD_INLINE f32x16 absolute(f32x16 a) { return {_mm512_abs_ps(a.v)}; }
// a, and -a where the sign bit of b is set.
PREFGRAD_INLINE f32x16 times_sign(f32x16 a, f32x16 b) {
  const __m512i sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
  return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v), sign, 0x78))};
}
PREFGRAD_INLINE m16 less(f32x16 a, f32x16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
PREFGRAD_INLINE m16 less_equal(f32x16 a, f32x16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
PREFGRAD_INLINE m16 equal(f32x16 a, f32x16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
PREFGRAD_INLINE m16 is_nan(f32x16 a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
PREFGRAD_INLINE f32x16 select(m16 m, f32x16 a, f32x16 b) { return {_mm512_mask_blend_ps(m.m, b.v, a.v)}; }
PREFGRAD_INLINE f32x16 where(m16 m, f32x16 a) { return select(m, a, f32x16::set(0.0f)); }
PREFGRAD_INLINE f32x16 unless(m16 m, f32x16 a) { return select(m, f32x16::set(0.0f), a); }
// a * 2^n for a whole-numbered n, rounded once even when the result is subnormal.
PREFGRAD_INLINE f32x16 scale_by_power(f32x16 a, f32x16 n) { return {_mm512_scalef_ps(a.v, n.v)}; }
// 2^n of `sum` = n + kPowerRounder.
PREFGRAD_INLINE f32x16 power_of(f32x16 sum) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(sum.v), 23))};
}
// a 2^n for a in [1/2, 2^60) and n from -190 to 63, where other ISAs have a shorter way. It takes a times kLowered, which
// whoever makes a may have in a factor already; `sum` is n + kRounder<1>.
constexpr bool kAnyPower = true;  // and here for every n, infinities with it
constexpr float kLowered = 1.0f;
PREFGRAD_INLINE f32x16 raise_by_power(f32x16 lowered, f32x16 n, f32x16 /* sum */) { return scale_by_power(lowered, n); }
// 8 or 32 numbers, of which `at` takes those that the lowest bits of an index say.
template <int size>
struct Table {
  static_assert(size == 8 || size == 32, "half a register, twice, or two");
  __m512 first, second;
  static PREFGRAD_INLINE Table set(const float (&values)[size]) {
    if constexpr (size == 8) {
      const __m512 twice = _mm512_broadcast_f32x8(_mm256_loadu_ps(values));
      return {twice, twice};
    } else {
      return {_mm512_loadu_ps(values), _mm512_loadu_ps(values + 16)};
    }
  }
  PREFGRAD_INLINE f32x16 at(f32x16 index) const {
    const __m512i i = _mm512_castps_si512(index.v);
    return {size == 8 ? _mm512_permutexvar_ps(i, first) : _mm512_permutex2var_ps(first, i, second)};
  }
};
// t_j 2^N for n = N + j / size from -190 to 63 (here any n, too); `sum` is n + kRounder<size>.
template <int size>
struct PowerTable {
  Table<size> table;
  static PREFGRAD_INLINE PowerTable set(const float (&values)[size]) { return {Table<size>::set(values)}; }
  PREFGRAD_INLINE f32x16 scaled(f32x16 n, f32x16 sum) const { return {_mm512_scalef_ps(table.at(sum).v, n.v)}; }
};
// The same for 32 numbers that are products of the first eight, which is of no use here.
struct ProductTable : PowerTable<32> {
  static PREFGRAD_INLINE ProductTable set(const float (&values)[32], const float (& /* steps */)[4]) {
    return {PowerTable<32>::set(values)};
  }
};
PREFGRAD_INLINE i32x16 to_i32(f32x16 a) { return {_mm512_cvttps_epi32(a.v)}; }
PREFGRAD_INLINE f32x16 to_f32(i32x16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
PREFGRAD_INLINE i32x16 bits_of(f32x16 a) { return {_mm512_castps_si512(a.v)}; }
PREFGRAD_INLINE f32x16 float_of(i32x16 a) { return {_mm512_castsi512_ps(a.v)}; }
PREFGRAD_INLINE float sum(f32x16 a) {
  const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
PREFGRAD_INLINE float first_lane(f32x16 a) { return _mm512_cvtss_f32(a.v); }
PREFGRAD_INLINE float largest(f32x16 a) { return _mm512_reduce_max_ps(a.v); }

// 32 bf16 as they are: those at even places, and those at odd ones, for half the work of two `load_bf16`.
struct bf16x32 {
  __m512i v;
  static PREFGRAD_INLINE bf16x32 set(uint16_t x) { return {_mm512_set1_epi16(static_cast<int16_t>(x))}; }
  static PREFGRAD_INLINE bf16x32 load(const uint16_t* p) { return {_mm512_loadu_si512(p)}; }
  PREFGRAD_INLINE f32x16 even() const { return {_mm512_castsi512_ps(_mm512_slli_epi32(v, 16))}; }
  PREFGRAD_INLINE f32x16 odd() const {
    return {_mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
  }
};
// The larger one where one is positive or +0; else any of the two.
PREFGRAD_INLINE bf16x32 larger_positive(bf16x32 a, bf16x32 b) { return {_mm512_max_epi16(a.v, b.v)}; }

struct f64x8 {
  __m512d v;
  static PREFGRAD_INLINE f64x8 set(double x) { return {_mm512_set1_pd(x)}; }
  static PREFGRAD_INLINE f64x8 load(const double* p) { return {_mm512_loadu_pd(p)}; }
};
PREFGRAD_INLINE void store(double* p, f64x8 a) { _mm512_storeu_pd(p, a.v); }
PREFGRAD_INLINE f64x8 low_f64(f32x16 a) { return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v))}; }
PREFGRAD_INLINE f64x8 high_f64(f32x16 a) { return {_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))}; }
PREFGRAD_INLINE f32x16 narrow(f64x8 low, f64x8 high) {
  return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low.v)), _mm512_cvtpd_ps(high.v), 1)};
}
// Eight f32 as f64, and back, rounded.
PREFGRAD_INLINE f64x8 f64_of(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
PREFGRAD_INLINE void store_f32(float* p, f64x8 a) { _mm256_storeu_ps(p, _mm512_cvtpd_ps(a.v)); }
PREFGRAD_INLINE f64x8 operator+(f64x8 a, f64x8 b) { return {_mm512_add_pd(a.v, b.v)}; }
PREFGRAD_INLINE f64x8 operator-(f64x8 a, f64x8 b) { return {_mm512_sub_pd(a.v, b.v)}; }
PREFGRAD_INLINE f64x8 operator*(f64x8 a, f64x8 b) { return {_mm512_mul_pd(a.v, b.v)}; }
PREFGRAD_INLINE f64x8 operator/(f64x8 a, f64x8 b) { return {_mm512_div_pd(a.v, b.v)}; }
PREFGRAD_INLINE f64x8 fma(f64x8 a, f64x8 b, f64x8 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
PREFGRAD_INLINE f64x8 fnma(f64x8 a, f64x8 b, f64x8 c) { return {_mm512_fnmadd_pd(a.v, b.v, c.v)}; }
PREFGRAD_INLINE f64x8 maximum(f64x8 a, f64x8 b) { return {_mm512_max_pd(a.v, b.v)}; }
PREFGRAD_INLINE f64x8 minimum(f64x8 a, f64x8 b) { return {_mm512_min_pd(a.v, b.v)}; }
PREFGRAD_INLINE f64x8 round_even(f64x8 a) { return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
PREFGRAD_INLINE f64x8 absolute(f64x8 a) { return {_mm512_abs_pd(a.v)}; }
PREFGRAD_INLINE m8 less(f64x8 a, f64x8 b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ)}; }
PREFGRAD_INLINE m8 less_equal(f64x8 a, f64x8 b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LE_OQ)}; }
PREFGRAD_INLINE m8 equal(f64x8 a, f64x8 b) { return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ)}; }
PREFGRAD_INLINE m8 is_nan(f64x8 a) { return {_mm512_cmp_pd_mask(a.v, a.v, _CMP_UNORD_Q)}; }
PREFGRAD_INLINE f64x8 select(m8 m, f64x8 a, f64x8 b) { return {_mm512_mask_blend_pd(m.m, b.v, a.v)}; }
PREFGRAD_INLINE f64x8 scale_by_power(f64x8 a, f64x8 n) { return {_mm512_scalef_pd(a.v, n.v)}; }
// a = mantissa * 2^exponent with mantissa in [1, 2); a must be positive, finite and normal.
PREFGRAD_INLINE f64x8 exponent_of(f64x8 a) { return {_mm512_getexp_pd(a.v)}; }
PREFGRAD_INLINE f64x8 mantissa_of(f64x8 a) { return {_mm512_getmant_pd(a.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero)}; }
// Lanes step up: lane l is lane l + 1 (2, 4) of x, and those that come from beyond the last are lanes 0, 1, ... of y.
template <int lanes>
PREFGRAD_INLINE f64x8 later(f64x8 x, f64x8 y) {
  return {_mm512_castsi512_pd(_mm512_alignr_epi64(_mm512_castpd_si512(y.v), _mm512_castpd_si512(x.v), lanes))};
}
PREFGRAD_INLINE double first_lane(f64x8 x) { return _mm512_cvtsd_f64(x.v); }
PREFGRAD_INLINE double sum(f64x8 a) {
  const __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(a.v), _mm512_extractf64x4_pd(a.v, 1));
  const __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
  return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
PREFGRAD_INLINE m8 low_half(m16 a) { return {static_cast<__mmask8>(a.m & 0xff)}; }
PREFGRAD_INLINE m8 high_half(m16 a) { return {static_cast<__mmask8>(a.m >> 8)}; }

}  // namespace prefgrad::PREFGRAD_ISA
