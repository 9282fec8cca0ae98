// Packing for gemm.h: lanes of a matrix operand side by side, one group of lanes per term, so that the micro-kernel
// walks memory in one direction. A lane is a row or column of the product, a term is one step of its chain.
#pragma once
#include "simd.h"

namespace prefgrad::PREFGRAD_ISA {

PREFGRAD_INLINE int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// The first n values at p, at most 16; the rest of the vector is 0, and stays as it is in memory.
PREFGRAD_INLINE f32x16 load_up_to(const float* p, int64_t n) {
  return n >= 16 ? f32x16::load(p) : f32x16::load_first(p, n, 0.0f);
}
PREFGRAD_INLINE void store_up_to(float* p, f32x16 x, int64_t n) {
  if (n >= 16) {
    store(p, x);
  } else {
    store_first(p, x, n);
  }
}

// One operand of a product: value(lane, term) lies at data[lane * stride + term] where terms are contiguous, and at
// data[term * stride + lane] where lanes are.
struct Operand {
  const float* data;
  int64_t stride;
  bool terms_contiguous;

  PREFGRAD_INLINE const float* at(int64_t lane, int64_t term) const {
    return terms_contiguous ? data + lane * stride + term : data + term * stride + lane;
  }
};

// Lanes that are transposed at once: a register of them.
#if defined(__AVX512F__)
constexpr int kPackLanes = 16;
PREFGRAD_INLINE void copy_lanes(const float* from, float* to) { _mm512_storeu_ps(to, _mm512_loadu_ps(from)); }
// A square of rows from memory, written as its columns: pairs of rows, fours, then 128-bit quarters. (With every lane
// selected the masked forms are the plain instructions; GCC 12 warns about its own definition of the plain forms.)
PREFGRAD_INLINE __m512 pairs_low(__m512 a, __m512 b) { return _mm512_maskz_unpacklo_ps(0xffff, a, b); }
PREFGRAD_INLINE __m512 pairs_high(__m512 a, __m512 b) { return _mm512_maskz_unpackhi_ps(0xffff, a, b); }
PREFGRAD_INLINE __m512 fours_low(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, _mm512_castps_pd(a), _mm512_castps_pd(b)));
}
PREFGRAD_INLINE __m512 fours_high(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, _mm512_castps_pd(a), _mm512_castps_pd(b)));
}
template <int which>
PREFGRAD_INLINE __m512 quarters(__m512 a, __m512 b) {
  return _mm512_maskz_shuffle_f32x4(0xffff, a, b, which);
}
PREFGRAD_INLINE void transpose_square(const float* const (&row)[16], float* to, int64_t pitch) {
  __m512 four[4][4];  // [i][k]: terms k, k + 4, k + 8, k + 12 of rows 4 i to 4 i + 3
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512 a = _mm512_loadu_ps(row[4 * i]), b = _mm512_loadu_ps(row[4 * i + 1]);
    const __m512 c = _mm512_loadu_ps(row[4 * i + 2]), d = _mm512_loadu_ps(row[4 * i + 3]);
    four[i][0] = fours_low(pairs_low(a, b), pairs_low(c, d));
    four[i][1] = fours_high(pairs_low(a, b), pairs_low(c, d));
    four[i][2] = fours_low(pairs_high(a, b), pairs_high(c, d));
    four[i][3] = fours_high(pairs_high(a, b), pairs_high(c, d));
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const __m512 even = quarters<0x88>(four[0][k], four[1][k]), even_next = quarters<0x88>(four[2][k], four[3][k]);
    const __m512 odd = quarters<0xdd>(four[0][k], four[1][k]), odd_next = quarters<0xdd>(four[2][k], four[3][k]);
    _mm512_storeu_ps(to + k * pitch, quarters<0x88>(even, even_next));
    _mm512_storeu_ps(to + (k + 4) * pitch, quarters<0x88>(odd, odd_next));
    _mm512_storeu_ps(to + (k + 8) * pitch, quarters<0xdd>(even, even_next));
    _mm512_storeu_ps(to + (k + 12) * pitch, quarters<0xdd>(odd, odd_next));
  }
}
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int kPackLanes = 8;
PREFGRAD_INLINE void copy_lanes(const float* from, float* to) { _mm256_storeu_ps(to, _mm256_loadu_ps(from)); }
PREFGRAD_INLINE void transpose_square(const float* const (&row)[8], float* to, int64_t pitch) {
#pragma GCC unroll 2
  for (int q = 0; q < 2; ++q) {
    __m256 half[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      half[i] = _mm256_castps128_ps256(_mm_loadu_ps(row[i] + 4 * q));
      half[i] = _mm256_insertf128_ps(half[i], _mm_loadu_ps(row[4 + i] + 4 * q), 1);
    }
    const __m256d even_low = _mm256_castps_pd(_mm256_unpacklo_ps(half[0], half[1]));
    const __m256d even_high = _mm256_castps_pd(_mm256_unpackhi_ps(half[0], half[1]));
    const __m256d odd_low = _mm256_castps_pd(_mm256_unpacklo_ps(half[2], half[3]));
    const __m256d odd_high = _mm256_castps_pd(_mm256_unpackhi_ps(half[2], half[3]));
    float* const out = to + 4 * q * pitch;
    _mm256_storeu_ps(out, _mm256_castpd_ps(_mm256_unpacklo_pd(even_low, odd_low)));
    _mm256_storeu_ps(out + pitch, _mm256_castpd_ps(_mm256_unpackhi_pd(even_low, odd_low)));
    _mm256_storeu_ps(out + 2 * pitch, _mm256_castpd_ps(_mm256_unpacklo_pd(even_high, odd_high)));
    _mm256_storeu_ps(out + 3 * pitch, _mm256_castpd_ps(_mm256_unpackhi_pd(even_high, odd_high)));
  }
}
#else
constexpr int kPackLanes = 4;
PREFGRAD_INLINE void copy_lanes(const float* from, float* to) { std::memcpy(to, from, 16); }
PREFGRAD_INLINE void transpose_square(const float* const (&row)[4], float* to, int64_t pitch) {
  for (int i = 0; i < 4; ++i) {
    for (int lane = 0; lane < 4; ++lane) to[i * pitch + lane] = row[lane][i];
  }
}
#endif

// `lanes` (at most kPackLanes) rows of `terms` values become `terms` groups of kPackLanes values, `pitch` apart. Lanes
// that are not there repeat the last one: they are never looked at.
inline void pack_transposed(const float* from, int64_t stride, int64_t lanes, int64_t terms, float* to, int64_t pitch) {
  const float* row[kPackLanes];
  for (int lane = 0; lane < kPackLanes; ++lane) row[lane] = from + (lane < lanes ? lane : lanes - 1) * stride;
  int64_t term = 0;
  for (; term + kPackLanes <= terms; term += kPackLanes) {
    transpose_square(row, to + term * pitch, pitch);
    for (const float*& p : row) p += kPackLanes;
  }
  if (term == terms) return;
  float in[kPackLanes][kPackLanes], out[kPackLanes * kPackLanes];
  const size_t bytes = static_cast<size_t>(terms - term) * sizeof(float);
  for (int lane = 0; lane < kPackLanes; ++lane) {
    std::memset(in[lane], 0, sizeof in[lane]);
    std::memcpy(in[lane], row[lane], bytes);
    row[lane] = in[lane];
  }
  transpose_square(row, out, kPackLanes);
  for (int64_t i = 0; i < terms - term; ++i) std::memcpy(to + (term + i) * pitch, out + i * kPackLanes, sizeof in[0]);
}

// Any number of lanes, filled up to a multiple of 16, in groups `pitch` apart.
inline void pack_lanes(const float* from, int64_t stride, int64_t lanes, int64_t terms, float* to, int64_t pitch) {
  for (int64_t lane = 0; lane < round_up(lanes, 16); lane += kPackLanes) {
    const int64_t here = lane < lanes ? lane : lanes - 1;
    pack_transposed(from + here * stride, stride, lanes - here, terms, to + lane, pitch);
  }
}

// Lanes that already lie side by side are copied, four terms at a time: panels lie far apart, and to go through all of them
// for every single term takes longer, twice as long where a row is no power of two. Calls copy(k, so many terms).
template <int terms>
struct TermsAbreast {};
template <typename Copy>
PREFGRAD_INLINE void each_terms(int64_t terms, Copy copy) {
  int64_t k = 0;
  for (; k + 4 <= terms; k += 4) copy(k, TermsAbreast<4>());
  for (; k < terms; ++k) copy(k, TermsAbreast<1>());
}
// `n` lanes of each term are there, and the rest become 0.
template <int terms>
PREFGRAD_INLINE void copy_lanes(TermsAbreast<terms>, const float* from, int64_t stride, int64_t n, float* to, int64_t pitch) {
#pragma GCC unroll 4
  for (int term = 0; term < terms; ++term, from += stride, to += pitch) {
    if (n >= kPackLanes) {
      copy_lanes(from, to);
    } else {
      for (int lane = 0; lane < kPackLanes; ++lane) to[lane] = lane < n ? from[lane] : 0.0f;
    }
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
