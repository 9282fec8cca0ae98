// AVX2 with FMA and F16C: two registers per vector, masks as all-ones lanes.
#pragma once

namespace prefgrad::PREFGRAD_ISA {

struct m16 {
  __m256 a, b;
};
struct m8 {
  __m256d a, b;
};
PREFGRAD_INLINE m16 operator&(m16 x, m16 y) { return {_mm256_and_ps(x.a, y.a), _mm256_and_ps(x.b, y.b)}; }
PREFGRAD_INLINE m16 operator|(m16 x, m16 y) { return {_mm256_or_ps(x.a, y.a), _mm256_or_ps(x.b, y.b)}; }
PREFGRAD_INLINE m16 operator~(m16 x) {
  const __m256 ones = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
  return {_mm256_xor_ps(x.a, ones), _mm256_xor_ps(x.b, ones)};
}
PREFGRAD_INLINE m8 operator&(m8 x, m8 y) { return {_mm256_and_pd(x.a, y.a), _mm256_and_pd(x.b, y.b)}; }
PREFGRAD_INLINE m8 operator|(m8 x, m8 y) { return {_mm256_or_pd(x.a, y.a), _mm256_or_pd(x.b, y.b)}; }
PREFGRAD_INLINE m8 operator~(m8 x) {
  const __m256d ones = _mm256_castsi256_pd(_mm256_set1_epi32(-1));
  return {_mm256_xor_pd(x.a, ones), _mm256_xor_pd(x.b, ones)};
}
PREFGRAD_INLINE unsigned bits(m16 x) {
  return static_cast<unsigned>(_mm256_movemask_ps(x.a)) | static_cast<unsigned>(_mm256_movemask_ps(x.b)) << 8;
}
PREFGRAD_INLINE unsigned bits(m8 x) {
  return static_cast<unsigned>(_mm256_movemask_pd(x.a)) | static_cast<unsigned>(_mm256_movemask_pd(x.b)) << 4;
}
PREFGRAD_INLINE bool any(m16 x) { return bits(x) != 0; }
PREFGRAD_INLINE bool any(m8 x) { return bits(x) != 0; }
PREFGRAD_INLINE m16 first16(int64_t n) {
  const __m256i limit = _mm256_set1_epi32(static_cast<int32_t>(n > 16 ? 16 : n));
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, lane)),
          _mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, _mm256_add_epi32(lane, _mm256_set1_epi32(8))))};
}
PREFGRAD_INLINE m8 first8(int64_t n) {
  const __m256i limit = _mm256_set1_epi64x(n > 8 ? 8 : n);
  const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
  return {_mm256_castsi256_pd(_mm256_cmpgt_epi64(limit, lane)),
          _mm256_castsi256_pd(_mm256_cmpgt_epi64(limit, _mm256_add_epi64(lane, _mm256_set1_epi64x(4))))};
}
PREFGRAD_INLINE m16 nonzero16(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i zero = _mm_cmpeq_epi8(bytes, _mm_setzero_si128());
  const __m128i set = _mm_xor_si128(zero, _mm_set1_epi8(-1));
  return {_mm256_castsi256_ps(_mm256_cvtepi8_epi32(set)), _mm256_castsi256_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(set, 8)))};
}

struct i32x16 {
  __m256i a, b;
  static PREFGRAD_INLINE i32x16 set(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  static PREFGRAD_INLINE i32x16 load(const int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
  }
};
PREFGRAD_INLINE i32x16 operator+(i32x16 x, i32x16 y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
PREFGRAD_INLINE i32x16 operator&(i32x16 x, i32x16 y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
PREFGRAD_INLINE void store(int32_t* p, i32x16 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), x.b);
}

// How often lanes were set: below 2^30 each.
struct LaneCount {
  __m256i a = _mm256_setzero_si256(), b = a;
  PREFGRAD_INLINE void add(m16 x) {
    a = _mm256_sub_epi32(a, _mm256_castps_si256(x.a));
    b = _mm256_sub_epi32(b, _mm256_castps_si256(x.b));
  }
  PREFGRAD_INLINE int64_t total() const {
    alignas(32) int32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi32(a, b));
    int64_t n = 0;
    for (int32_t lane : lanes) n += lane;
    return n;
  }
};

struct f32x16 {
  __m256 a, b;
  static PREFGRAD_INLINE f32x16 set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static PREFGRAD_INLINE f32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static PREFGRAD_INLINE f32x16 load_first(const float* p, int64_t n, float fill) {
    const m16 m = first16(n);
    const __m256 f = _mm256_set1_ps(fill);
    return {_mm256_blendv_ps(f, _mm256_maskload_ps(p, _mm256_castps_si256(m.a)), m.a),
            _mm256_blendv_ps(f, _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.b)), m.b)};
  }
  static PREFGRAD_INLINE f32x16 load_bf16(const uint16_t* p) {
    const auto widen = [](const uint16_t* q) {
      const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(q));
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
    };
    return {widen(p), widen(p + 8)};
  }
  static PREFGRAD_INLINE f32x16 load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
};
PREFGRAD_INLINE void store(float* p, f32x16 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
PREFGRAD_INLINE void stream(float* p, f32x16 x) {
  _mm256_stream_ps(p, x.a);
  _mm256_stream_ps(p + 8, x.b);
}
PREFGRAD_INLINE void store_first(float* p, f32x16 x, int64_t n) {
  const m16 m = first16(n);
  _mm256_maskstore_ps(p, _mm256_castps_si256(m.a), x.a);
  _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.b), x.b);
}
PREFGRAD_INLINE void store_f16(uint16_t* p, f32x16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
PREFGRAD_INLINE void store_bf16(uint16_t* p, f32x16 x) {
  const auto rounded = [](__m256 f) {
    const __m256i u = _mm256_castps_si256(f);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i near = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(0x40));
    return _mm256_blendv_epi8(near, quiet, _mm256_castps_si256(_mm256_cmp_ps(f, f, _CMP_UNORD_Q)));
  };
  const __m256i packed = _mm256_packus_epi32(rounded(x.a), rounded(x.b));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
PREFGRAD_INLINE f32x16 operator+(f32x16 x, f32x16 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
PREFGRAD_INLINE f32x16 operator-(f32x16 x, f32x16 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
PREFGRAD_INLINE f32x16 operator*(f32x16 x, f32x16 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
PREFGRAD_INLINE f32x16 operator/(f32x16 x, f32x16 y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
PREFGRAD_INLINE f32x16 fma(f32x16 x, f32x16 y, f32x16 z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
PREFGRAD_INLINE f32x16 fnma(f32x16 x, f32x16 y, f32x16 z) { return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)}; }
PREFGRAD_INLINE f32x16 fnma_once(f32x16 x, f32x16 y, f32x16 z) { return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)}; }
PREFGRAD_INLINE f32x16 maximum(f32x16 x, f32x16 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
PREFGRAD_INLINE f32x16 minimum(f32x16 x, f32x16 y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
PREFGRAD_INLINE f32x16 square_root(f32x16 x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
PREFGRAD_INLINE f32x16 round_even(f32x16 x) {
  return {_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
PREFGRAD_INLINE f32x16 absolute(f32x16 x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
PREFGRAD_INLINE f32x16 times_sign(f32x16 x, f32x16 y) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(x.a, _mm256_and_ps(y.a, sign)), _mm256_xor_ps(x.b, _mm256_and_ps(y.b, sign))};
}
PREFGRAD_INLINE m16 less(f32x16 x, f32x16 y) { return {_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)}; }
PREFGRAD_INLINE m16 less_equal(f32x16 x, f32x16 y) { return {_mm256_cmp_ps(x.a, y.a, _CMP_LE_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LE_OQ)}; }
PREFGRAD_INLINE m16 equal(f32x16 x, f32x16 y) { return {_mm256_cmp_ps(x.a, y.a, _CMP_EQ_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_EQ_OQ)}; }
PREFGRAD_INLINE m16 is_nan(f32x16 x) { return {_mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q), _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q)}; }
PREFGRAD_INLINE f32x16 select(m16 m, f32x16 x, f32x16 y) { return {_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)}; }
PREFGRAD_INLINE f32x16 where(m16 m, f32x16 x) { return {_mm256_and_ps(m.a, x.a), _mm256_and_ps(m.b, x.b)}; }
PREFGRAD_INLINE f32x16 unless(m16 m, f32x16 x) { return {_mm256_andnot_ps(m.a, x.a), _mm256_andnot_ps(m.b, x.b)}; }
PREFGRAD_INLINE i32x16 to_i32(f32x16 x) { return {_mm256_cvttps_epi32(x.a), _mm256_cvttps_epi32(x.b)}; }
PREFGRAD_INLINE f32x16 to_f32(i32x16 x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
PREFGRAD_INLINE i32x16 bits_of(f32x16 x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
PREFGRAD_INLINE f32x16 float_of(i32x16 x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
// Two factors, so that only the second multiplication can round (into the subnormals).
PREFGRAD_INLINE f32x16 scale_by_power(f32x16 x, f32x16 n) {
  const f32x16 bound = minimum(maximum(n, f32x16::set(-252.0f)), f32x16::set(254.0f));
  const auto scaled = [](__m256 f, __m256 power) {
    const __m256i whole = _mm256_cvtps_epi32(power);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256i other = _mm256_sub_epi32(whole, half);
    f = _mm256_mul_ps(f, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(f, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(other, bias), 23)));
  };
  return {scaled(x.a, bound.a), scaled(x.b, bound.b)};
}
// 2^n of `sum` = n + kPowerRounder.
PREFGRAD_INLINE f32x16 power_of(f32x16 sum) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(sum.a), 23)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(sum.b), 23))};
}
// a 2^n for a in [1/2, 2^60) and n from -190 to 63; it takes a times kLowered. The lowest bits of `sum` = n + kRounder<1> are the
// exponent of 2^(n + 64). Only this multiplication can round.
constexpr bool kAnyPower = false;
constexpr float kLowered = 0x1p-64f;
PREFGRAD_INLINE f32x16 raise_by_power(f32x16 lowered, f32x16 /* n */, f32x16 sum) { return lowered * power_of(sum); }
// Eight numbers, of which `at` takes those that the lowest bits of an index say.
template <int size>
struct Table {
  static_assert(size == 8, "one register");
  __m256 t;
  static PREFGRAD_INLINE Table set(const float (&values)[size], float scale = 1.0f) {
    return {_mm256_mul_ps(_mm256_loadu_ps(values), _mm256_set1_ps(scale))};
  }
  PREFGRAD_INLINE __m256 at(__m256 index) const { return _mm256_permutevar8x32_ps(t, _mm256_castps_si256(index)); }
  PREFGRAD_INLINE f32x16 at(f32x16 index) const { return {at(index.a), at(index.b)}; }
};
// x 2^(N + 64) for `sum` = N + j / size + kRounder<size>, whose lowest bits are j and the exponent of that.
template <int size>
PREFGRAD_INLINE __m256 times_power(__m256 x, __m256 sum) {
  const __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(sum), 23 - __builtin_ctz(size));
  const __m256i power = _mm256_and_si256(bits, _mm256_set1_epi32(static_cast<int>(0xff800000u)));
  return _mm256_mul_ps(x, _mm256_castsi256_ps(power));
}
// t_j 2^N for n = N + j / size from -190 to 63; `sum` is n + kRounder<size>.
template <int size>
struct PowerTable {
  Table<size> table;  // by 2^-64, so that only the last multiplication can round
  static PREFGRAD_INLINE PowerTable set(const float (&values)[size]) { return {Table<size>::set(values, 0x1p-64f)}; }
  PREFGRAD_INLINE f32x16 scaled(f32x16 /* n */, f32x16 sum) const {
    const f32x16 t = table.at(sum);
    return {times_power<size>(t.a, sum.a), times_power<size>(t.b, sum.b)};
  }
};
// The same for 32 numbers that are products of the first eight.
struct ProductTable {
  __m256 first, steps;  // first: by 2^-64
  static PREFGRAD_INLINE ProductTable set(const float (&values)[32], const float (&steps)[4]) {
    return {_mm256_mul_ps(_mm256_loadu_ps(values), _mm256_set1_ps(0x1p-64f)),
            _mm256_broadcast_ps(reinterpret_cast<const __m128*>(steps))};
  }
  PREFGRAD_INLINE __m256 scaled(__m256 sum) const {
    const __m256i bits = _mm256_castps_si256(sum);
    const __m256 t = _mm256_permutevar8x32_ps(first, bits), step = _mm256_permutevar_ps(steps, _mm256_srli_epi32(bits, 3));
    return times_power<32>(_mm256_fmadd_ps(t, step, t), sum);
  }
  PREFGRAD_INLINE f32x16 scaled(f32x16 /* n */, f32x16 sum) const { return {scaled(sum.a), scaled(sum.b)}; }
};
PREFGRAD_INLINE float combine(__m256 h) {
  const __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
PREFGRAD_INLINE float sum(f32x16 x) { return combine(_mm256_add_ps(x.a, x.b)); }
PREFGRAD_INLINE float first_lane(f32x16 x) { return _mm256_cvtss_f32(x.a); }
PREFGRAD_INLINE float largest(f32x16 x) {
  const __m256 h = _mm256_max_ps(x.a, x.b);
  const __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  const __m128 d = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}

struct bf16x32 {
  __m256i a, b;
  static PREFGRAD_INLINE bf16x32 set(uint16_t x) {
    const __m256i v = _mm256_set1_epi16(static_cast<int16_t>(x));
    return {v, v};
  }
  static PREFGRAD_INLINE bf16x32 load(const uint16_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16))};
  }
  PREFGRAD_INLINE f32x16 even() const {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))};
  }
  PREFGRAD_INLINE f32x16 odd() const {
    const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    return {_mm256_castsi256_ps(_mm256_and_si256(a, high)), _mm256_castsi256_ps(_mm256_and_si256(b, high))};
  }
};
PREFGRAD_INLINE bf16x32 larger_positive(bf16x32 x, bf16x32 y) { return {_mm256_max_epi16(x.a, y.a), _mm256_max_epi16(x.b, y.b)}; }

struct f64x8 {
  __m256d a, b;
  static PREFGRAD_INLINE f64x8 set(double x) { return {_mm256_set1_pd(x), _mm256_set1_pd(x)}; }
  static PREFGRAD_INLINE f64x8 load(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
};
PREFGRAD_INLINE void store(double* p, f64x8 x) {
  _mm256_storeu_pd(p, x.a);
  _mm256_storeu_pd(p + 4, x.b);
}
PREFGRAD_INLINE f64x8 widen(__m256 f) { return {_mm256_cvtps_pd(_mm256_castps256_ps128(f)), _mm256_cvtps_pd(_mm256_extractf128_ps(f, 1))}; }
PREFGRAD_INLINE f64x8 low_f64(f32x16 x) { return widen(x.a); }
PREFGRAD_INLINE f64x8 high_f64(f32x16 x) { return widen(x.b); }
PREFGRAD_INLINE f32x16 narrow(f64x8 low, f64x8 high) {
  return {_mm256_set_m128(_mm256_cvtpd_ps(low.b), _mm256_cvtpd_ps(low.a)), _mm256_set_m128(_mm256_cvtpd_ps(high.b), _mm256_cvtpd_ps(high.a))};
}
// Eight f32 as f64, and back, rounded.
PREFGRAD_INLINE f64x8 f64_of(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))}; }
PREFGRAD_INLINE void store_f32(float* p, f64x8 x) {
  _mm_storeu_ps(p, _mm256_cvtpd_ps(x.a));
  _mm_storeu_ps(p + 4, _mm256_cvtpd_ps(x.b));
}
PREFGRAD_INLINE f64x8 operator+(f64x8 x, f64x8 y) { return {_mm256_add_pd(x.a, y.a), _mm256_add_pd(x.b, y.b)}; }
PREFGRAD_INLINE f64x8 operator-(f64x8 x, f64x8 y) { return {_mm256_sub_pd(x.a, y.a), _mm256_sub_pd(x.b, y.b)}; }
PREFGRAD_INLINE f64x8 operator*(f64x8 x, f64x8 y) { return {_mm256_mul_pd(x.a, y.a), _mm256_mul_pd(x.b, y.b)}; }
PREFGRAD_INLINE f64x8 operator/(f64x8 x, f64x8 y) { return {_mm256_div_pd(x.a, y.a), _mm256_div_pd(x.b, y.b)}; }
PREFGRAD_INLINE f64x8 fma(f64x8 x, f64x8 y, f64x8 z) { return {_mm256_fmadd_pd(x.a, y.a, z.a), _mm256_fmadd_pd(x.b, y.b, z.b)}; }
PREFGRAD_INLINE f64x8 fnma(f64x8 x, f64x8 y, f64x8 z) { return {_mm256_fnmadd_pd(x.a, y.a, z.a), _mm256_fnmadd_pd(x.b, y.b, z.b)}; }
PREFGRAD_INLINE f64x8 maximum(f64x8 x, f64x8 y) { return {_mm256_max_pd(x.a, y.a), _mm256_max_pd(x.b, y.b)}; }
PREFGRAD_INLINE f64x8 minimum(f64x8 x, f64x8 y) { return {_mm256_min_pd(x.a, y.a), _mm256_min_pd(x.b, y.b)}; }
PREFGRAD_INLINE f64x8 round_even(f64x8 x) {
  return {_mm256_round_pd(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), _mm256_round_pd(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
PREFGRAD_INLINE f64x8 absolute(f64x8 x) {
  const __m256d sign = _mm256_set1_pd(-0.0);
  return {_mm256_andnot_pd(sign, x.a), _mm256_andnot_pd(sign, x.b)};
}
PREFGRAD_INLINE m8 less(f64x8 x, f64x8 y) { return {_mm256_cmp_pd(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_pd(x.b, y.b, _CMP_LT_OQ)}; }
PREFGRAD_INLINE m8 less_equal(f64x8 x, f64x8 y) { return {_mm256_cmp_pd(x.a, y.a, _CMP_LE_OQ), _mm256_cmp_pd(x.b, y.b, _CMP_LE_OQ)}; }
PREFGRAD_INLINE m8 equal(f64x8 x, f64x8 y) { return {_mm256_cmp_pd(x.a, y.a, _CMP_EQ_OQ), _mm256_cmp_pd(x.b, y.b, _CMP_EQ_OQ)}; }
PREFGRAD_INLINE m8 is_nan(f64x8 x) { return {_mm256_cmp_pd(x.a, x.a, _CMP_UNORD_Q), _mm256_cmp_pd(x.b, x.b, _CMP_UNORD_Q)}; }
PREFGRAD_INLINE f64x8 select(m8 m, f64x8 x, f64x8 y) { return {_mm256_blendv_pd(y.a, x.a, m.a), _mm256_blendv_pd(y.b, x.b, m.b)}; }
PREFGRAD_INLINE f64x8 scale_by_power(f64x8 x, f64x8 n) {
  const f64x8 bound = minimum(maximum(n, f64x8::set(-2044.0)), f64x8::set(2046.0));
  const auto scaled = [](__m256d f, __m256d power) {
    const __m128i whole = _mm256_cvtpd_epi32(power);
    const __m128i half = _mm_srai_epi32(whole, 1);
    const __m128i other = _mm_sub_epi32(whole, half);
    const __m256i bias = _mm256_set1_epi64x(1023);
    f = _mm256_mul_pd(f, _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_add_epi64(_mm256_cvtepi32_epi64(half), bias), 52)));
    return _mm256_mul_pd(f, _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_add_epi64(_mm256_cvtepi32_epi64(other), bias), 52)));
  };
  return {scaled(x.a, bound.a), scaled(x.b, bound.b)};
}
// The biased exponent, read as an integer below 2^52 and turned into a double by the magic number 2^52.
PREFGRAD_INLINE f64x8 exponent_of(f64x8 x) {
  const auto exponent = [](__m256d f) {
    const __m256i magic = _mm256_set1_epi64x(0x4330000000000000);
    const __m256i biased = _mm256_srli_epi64(_mm256_castpd_si256(f), 52);
    return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(biased, magic)), _mm256_set1_pd(4503599627370496.0 + 1023.0));
  };
  return {exponent(x.a), exponent(x.b)};
}
PREFGRAD_INLINE f64x8 mantissa_of(f64x8 x) {
  const auto mantissa = [](__m256d f) {
    const __m256d kept = _mm256_and_pd(f, _mm256_castsi256_pd(_mm256_set1_epi64x(0x000fffffffffffff)));
    return _mm256_or_pd(kept, _mm256_set1_pd(1.0));
  };
  return {mantissa(x.a), mantissa(x.b)};
}
// Lanes step up: lane l is lane l + 1 (2, 4) of x, and those that come from beyond the last are lanes 0, 1, ... of y.
template <int lanes>
PREFGRAD_INLINE f64x8 later(f64x8 x, f64x8 y) {
  if constexpr (lanes == 4) return {x.b, y.a};
  const __m256d ab = _mm256_permute2f128_pd(x.a, x.b, 0x21), by = _mm256_permute2f128_pd(x.b, y.a, 0x21);
  if constexpr (lanes == 2) return {ab, by};
  return {_mm256_shuffle_pd(x.a, ab, 5), _mm256_shuffle_pd(x.b, by, 5)};
}
PREFGRAD_INLINE double first_lane(f64x8 x) { return _mm256_cvtsd_f64(x.a); }
PREFGRAD_INLINE double sum(f64x8 x) {
  const __m256d h = _mm256_add_pd(x.a, x.b);
  const __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
  return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
PREFGRAD_INLINE m8 low_half(m16 x) {
  const __m256i i = _mm256_castps_si256(x.a);
  return {_mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(i))), _mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm256_extracti128_si256(i, 1)))};
}
PREFGRAD_INLINE m8 high_half(m16 x) { return low_half({x.b, x.a}); }

}  // namespace prefgrad::PREFGRAD_ISA
