// Arrays and loops: the x86-64 baseline, and NEON, where the compiler turns these loops into vectors and has an FMA.
#pragma once

namespace prefgrad::PREFGRAD_ISA {

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
PREFGRAD_INLINE float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
PREFGRAD_INLINE double fma1(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
PREFGRAD_INLINE float fma1(float a, float b, float c) { return a * b + c; }
PREFGRAD_INLINE double fma1(double a, double b, double c) { return a * b + c; }
#endif
PREFGRAD_INLINE uint32_t word_of(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}
PREFGRAD_INLINE float real_of(uint32_t u) {
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

template <int N>
struct Lanes {
  bool m[N];
};
using m16 = Lanes<16>;
using m8 = Lanes<8>;

#define PREFGRAD_EACH(N, expression)      \
  for (int i = 0; i < N; ++i) r[i] = expression

template <int N> PREFGRAD_INLINE Lanes<N> operator&(Lanes<N> a, Lanes<N> b) { Lanes<N> o; bool* r = o.m; PREFGRAD_EACH(N, a.m[i] && b.m[i]); return o; }
template <int N> PREFGRAD_INLINE Lanes<N> operator|(Lanes<N> a, Lanes<N> b) { Lanes<N> o; bool* r = o.m; PREFGRAD_EACH(N, a.m[i] || b.m[i]); return o; }
template <int N> PREFGRAD_INLINE Lanes<N> operator~(Lanes<N> a) { Lanes<N> o; bool* r = o.m; PREFGRAD_EACH(N, !a.m[i]); return o; }
template <int N> PREFGRAD_INLINE unsigned bits(Lanes<N> a) {
  unsigned set = 0;
  for (int i = 0; i < N; ++i) set |= static_cast<unsigned>(a.m[i]) << i;
  return set;
}
template <int N> PREFGRAD_INLINE bool any(Lanes<N> a) { return bits(a) != 0; }
PREFGRAD_INLINE m16 first16(int64_t n) { m16 o; bool* r = o.m; PREFGRAD_EACH(16, i < n); return o; }
PREFGRAD_INLINE m8 first8(int64_t n) { m8 o; bool* r = o.m; PREFGRAD_EACH(8, i < n); return o; }
PREFGRAD_INLINE m16 nonzero16(const uint8_t* p) { m16 o; bool* r = o.m; PREFGRAD_EACH(16, p[i] != 0); return o; }
PREFGRAD_INLINE m8 low_half(m16 a) { m8 o; bool* r = o.m; PREFGRAD_EACH(8, a.m[i]); return o; }
PREFGRAD_INLINE m8 high_half(m16 a) { m8 o; bool* r = o.m; PREFGRAD_EACH(8, a.m[i + 8]); return o; }

// How often lanes were set: below 2^30 each.
struct LaneCount {
  int32_t n[16] = {};
  PREFGRAD_INLINE void add(m16 a) { int32_t* r = n; PREFGRAD_EACH(16, n[i] + a.m[i]); }
  PREFGRAD_INLINE int64_t total() const {
    int64_t all = 0;
    for (int32_t lane : n) all += lane;
    return all;
  }
};

struct i32x16 {
  int32_t v[16];
  static PREFGRAD_INLINE i32x16 set(int32_t x) { i32x16 o; int32_t* r = o.v; PREFGRAD_EACH(16, x); return o; }
  static PREFGRAD_INLINE i32x16 load(const int32_t* p) { i32x16 o; int32_t* r = o.v; PREFGRAD_EACH(16, p[i]); return o; }
};
PREFGRAD_INLINE i32x16 operator+(i32x16 a, i32x16 b) { i32x16 o; int32_t* r = o.v; PREFGRAD_EACH(16, static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) + static_cast<uint32_t>(b.v[i]))); return o; }
PREFGRAD_INLINE i32x16 operator&(i32x16 a, i32x16 b) { i32x16 o; int32_t* r = o.v; PREFGRAD_EACH(16, a.v[i] & b.v[i]); return o; }
PREFGRAD_INLINE void store(int32_t* r, i32x16 a) { PREFGRAD_EACH(16, a.v[i]); }

PREFGRAD_INLINE float float_from_half(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 0x3ff;
  if (exponent == 31) return real_of(sign | 0x7f800000 | fraction << 13 | (fraction != 0 ? 0x400000 : 0));
  if (exponent != 0) return real_of(sign | (exponent + 112) << 23 | fraction << 13);
  const float tiny = static_cast<float>(fraction) * 5.9604644775390625e-8f;  // fraction * 2^-24
  return sign != 0 ? -tiny : tiny;
}
// Round to nearest even; too large becomes infinity, NaN stays NaN.
PREFGRAD_INLINE uint16_t half_from_float(float f) {
  const uint32_t u = word_of(f), sign = (u >> 16) & 0x8000, magnitude = u & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude < 0x38800000) {  // subnormal: let an addition do the rounding
    const float rounded = real_of(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (word_of(rounded) - word_of(0.5f)));
  }
  const uint32_t odd = (magnitude >> 13) & 1;
  return static_cast<uint16_t>(sign | ((magnitude + 0xfff + odd - 0x38000000) >> 13));
}
PREFGRAD_INLINE uint16_t bf16_from_float(float f) {
  const uint32_t u = word_of(f);
  if (f != f) return static_cast<uint16_t>(u >> 16 | 0x40);
  return static_cast<uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
PREFGRAD_INLINE float power_of_two(int32_t n) { return real_of(static_cast<uint32_t>(n + 127) << 23); }
PREFGRAD_INLINE double power_of_two64(int64_t n) {
  const uint64_t u = static_cast<uint64_t>(n + 1023) << 52;
  double d;
  std::memcpy(&d, &u, 8);
  return d;
}

struct f32x16 {
  float v[16];
  static PREFGRAD_INLINE f32x16 set(float x) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, x); return o; }
  static PREFGRAD_INLINE f32x16 load(const float* p) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, p[i]); return o; }
  static PREFGRAD_INLINE f32x16 load_first(const float* p, int64_t n, float fill) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, i < n ? p[i] : fill); return o; }
  static PREFGRAD_INLINE f32x16 load_bf16(const uint16_t* p) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, real_of(static_cast<uint32_t>(p[i]) << 16)); return o; }
  static PREFGRAD_INLINE f32x16 load_f16(const uint16_t* p) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, float_from_half(p[i])); return o; }
};
PREFGRAD_INLINE void store(float* r, f32x16 a) { PREFGRAD_EACH(16, a.v[i]); }
PREFGRAD_INLINE void stream(float* r, f32x16 a) { PREFGRAD_EACH(16, a.v[i]); }
PREFGRAD_INLINE void store_first(float* r, f32x16 a, int64_t n) {
  for (int i = 0; i < 16 && i < n; ++i) r[i] = a.v[i];
}
PREFGRAD_INLINE void store_f16(uint16_t* r, f32x16 a) { PREFGRAD_EACH(16, half_from_float(a.v[i])); }
PREFGRAD_INLINE void store_bf16(uint16_t* r, f32x16 a) { PREFGRAD_EACH(16, bf16_from_float(a.v[i])); }

struct bf16x32 {
  int16_t v[32];
  static PREFGRAD_INLINE bf16x32 set(uint16_t x) { bf16x32 o; int16_t* r = o.v; PREFGRAD_EACH(32, static_cast<int16_t>(x)); return o; }
  static PREFGRAD_INLINE bf16x32 load(const uint16_t* p) { bf16x32 o; std::memcpy(o.v, p, 64); return o; }
  static PREFGRAD_INLINE float widen(int16_t x) { return real_of(static_cast<uint32_t>(x) << 16); }
  PREFGRAD_INLINE f32x16 even() const { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, widen(v[2 * i])); return o; }
  PREFGRAD_INLINE f32x16 odd() const { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, widen(v[2 * i + 1])); return o; }
};
PREFGRAD_INLINE bf16x32 larger_positive(bf16x32 a, bf16x32 b) {
  bf16x32 o;
  int16_t* r = o.v;
  PREFGRAD_EACH(32, a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
  return o;
}
struct f64x8 {
  double v[8];
  static PREFGRAD_INLINE f64x8 set(double x) { f64x8 o; double* r = o.v; PREFGRAD_EACH(8, x); return o; }
  static PREFGRAD_INLINE f64x8 load(const double* p) { f64x8 o; double* r = o.v; PREFGRAD_EACH(8, p[i]); return o; }
};
PREFGRAD_INLINE void store(double* r, f64x8 a) { PREFGRAD_EACH(8, a.v[i]); }
PREFGRAD_INLINE f64x8 low_f64(f32x16 a) { f64x8 o; double* r = o.v; PREFGRAD_EACH(8, static_cast<double>(a.v[i])); return o; }
PREFGRAD_INLINE f64x8 high_f64(f32x16 a) { f64x8 o; double* r = o.v; PREFGRAD_EACH(8, static_cast<double>(a.v[i + 8])); return o; }
PREFGRAD_INLINE f32x16 narrow(f64x8 low, f64x8 high) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, static_cast<float>(i < 8 ? low.v[i] : high.v[i - 8])); return o; }

// Eight f32 as f64, and back, rounded.
PREFGRAD_INLINE f64x8 f64_of(const float* p) { f64x8 o; double* r = o.v; PREFGRAD_EACH(8, static_cast<double>(p[i])); return o; }
PREFGRAD_INLINE void store_f32(float* r, f64x8 a) { PREFGRAD_EACH(8, static_cast<float>(a.v[i])); }

// The same arithmetic for both widths.
#define PREFGRAD_ARITHMETIC(V, S, M, N)                                                                              \
  PREFGRAD_INLINE V operator+(V a, V b) { V o; S* r = o.v; PREFGRAD_EACH(N, a.v[i] + b.v[i]); return o; }              \
  PREFGRAD_INLINE V operator-(V a, V b) { V o; S* r = o.v; PREFGRAD_EACH(N, a.v[i] - b.v[i]); return o; }              \
  PREFGRAD_INLINE V operator*(V a, V b) { V o; S* r = o.v; PREFGRAD_EACH(N, a.v[i] * b.v[i]); return o; }              \
  PREFGRAD_INLINE V operator/(V a, V b) { V o; S* r = o.v; PREFGRAD_EACH(N, a.v[i] / b.v[i]); return o; }              \
  PREFGRAD_INLINE V fma(V a, V b, V c) { V o; S* r = o.v; PREFGRAD_EACH(N, fma1(a.v[i], b.v[i], c.v[i])); return o; }  \
  PREFGRAD_INLINE V fnma(V a, V b, V c) { V o; S* r = o.v; PREFGRAD_EACH(N, fma1(-a.v[i], b.v[i], c.v[i])); return o; } \
  PREFGRAD_INLINE V maximum(V a, V b) { V o; S* r = o.v; PREFGRAD_EACH(N, a.v[i] > b.v[i] ? a.v[i] : b.v[i]); return o; } \
  PREFGRAD_INLINE V minimum(V a, V b) { V o; S* r = o.v; PREFGRAD_EACH(N, a.v[i] < b.v[i] ? a.v[i] : b.v[i]); return o; } \
  PREFGRAD_INLINE V round_even(V a) { V o; S* r = o.v; PREFGRAD_EACH(N, std::nearbyint(a.v[i])); return o; }           \
  PREFGRAD_INLINE V absolute(V a) { V o; S* r = o.v; PREFGRAD_EACH(N, std::fabs(a.v[i])); return o; }                  \
  PREFGRAD_INLINE M less(V a, V b) { M o; bool* r = o.m; PREFGRAD_EACH(N, a.v[i] < b.v[i]); return o; }                \
  PREFGRAD_INLINE M less_equal(V a, V b) { M o; bool* r = o.m; PREFGRAD_EACH(N, a.v[i] <= b.v[i]); return o; }         \
  PREFGRAD_INLINE M equal(V a, V b) { M o; bool* r = o.m; PREFGRAD_EACH(N, a.v[i] == b.v[i]); return o; }              \
  PREFGRAD_INLINE M is_nan(V a) { M o; bool* r = o.m; PREFGRAD_EACH(N, a.v[i] != a.v[i]); return o; }                  \
  PREFGRAD_INLINE V select(M m, V a, V b) { V o; S* r = o.v; PREFGRAD_EACH(N, m.m[i] ? a.v[i] : b.v[i]); return o; }
PREFGRAD_ARITHMETIC(f32x16, float, m16, 16)
PREFGRAD_ARITHMETIC(f64x8, double, m8, 8)
#undef PREFGRAD_ARITHMETIC

PREFGRAD_INLINE f32x16 square_root(f32x16 a) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, std::sqrt(a.v[i])); return o; }
PREFGRAD_INLINE f32x16 times_sign(f32x16 a, f32x16 b) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, std::signbit(b.v[i]) ? -a.v[i] : a.v[i]); return o; }
PREFGRAD_INLINE f32x16 where(m16 m, f32x16 a) { return select(m, a, f32x16::set(0.0f)); }
PREFGRAD_INLINE f32x16 unless(m16 m, f32x16 a) { return select(m, f32x16::set(0.0f), a); }
// c - a b rounded once, however `fma` rounds.
PREFGRAD_INLINE f32x16 fnma_once(f32x16 a, f32x16 b, f32x16 c) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, static_cast<float>(c.v[i] - static_cast<double>(a.v[i]) * b.v[i])); return o; }
// Two factors, so that only the second multiplication can round (into the subnormals).
PREFGRAD_INLINE f32x16 scale_by_power(f32x16 a, f32x16 n) {
  f32x16 o;
  for (int i = 0; i < 16; ++i) {
    const int32_t whole = static_cast<int32_t>(n.v[i] > -252.0f ? (n.v[i] < 254.0f ? n.v[i] : 254.0f) : -252.0f), half = whole >> 1;
    o.v[i] = a.v[i] * power_of_two(half) * power_of_two(whole - half);
  }
  return o;
}
// 2^n of `sum` = n + kPowerRounder.
PREFGRAD_INLINE f32x16 power_of(f32x16 sum) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, real_of(word_of(sum.v[i]) << 23)); return o; }
// a 2^n for a in [1/2, 2^60) and n from -190 to 63; it takes a times kLowered. The lowest bits of `sum` = n + kRounder<1> are the
// exponent of 2^(n + 64). Only this multiplication can round.
constexpr bool kAnyPower = false;
constexpr float kLowered = 0x1p-64f;
PREFGRAD_INLINE f32x16 raise_by_power(f32x16 lowered, f32x16 /* n */, f32x16 sum) { return lowered * power_of(sum); }
// 8 or 32 numbers, of which `at` takes those that the lowest bits of an index say.
template <int size>
struct Table {
  float t[size];
  static PREFGRAD_INLINE Table set(const float (&values)[size], float scale = 1.0f) { Table o; float* r = o.t; PREFGRAD_EACH(size, values[i] * scale); return o; }
  PREFGRAD_INLINE f32x16 at(f32x16 index) const { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, t[word_of(index.v[i]) & (size - 1)]); return o; }
};
// t_j 2^N for n = N + j / size from -190 to 63; `sum` is n + kRounder<size>, whose bits are j and the exponent of 2^(N + 64).
template <int size>
struct PowerTable {
  Table<size> table;  // by 2^-64, so that only the last multiplication can round
  static PREFGRAD_INLINE PowerTable set(const float (&values)[size]) { return {Table<size>::set(values, 0x1p-64f)}; }
  PREFGRAD_INLINE f32x16 scaled(f32x16 /* n */, f32x16 sum) const {
    const f32x16 t = table.at(sum);
    f32x16 o;
    float* r = o.v;
    PREFGRAD_EACH(16, t.v[i] * real_of(word_of(sum.v[i]) / size << 23));
    return o;
  }
};
// The same for 32 numbers that are products of the first eight, which is of no use here.
struct ProductTable : PowerTable<32> {
  static PREFGRAD_INLINE ProductTable set(const float (&values)[32], const float (& /* steps */)[4]) {
    return {PowerTable<32>::set(values)};
  }
};
PREFGRAD_INLINE f64x8 scale_by_power(f64x8 a, f64x8 n) {
  f64x8 o;
  for (int i = 0; i < 8; ++i) {
    const int64_t whole = static_cast<int64_t>(n.v[i] > -2044.0 ? (n.v[i] < 2046.0 ? n.v[i] : 2046.0) : -2044.0), half = whole >> 1;
    o.v[i] = a.v[i] * power_of_two64(half) * power_of_two64(whole - half);
  }
  return o;
}
PREFGRAD_INLINE i32x16 to_i32(f32x16 a) { i32x16 o; int32_t* r = o.v; PREFGRAD_EACH(16, static_cast<int32_t>(a.v[i])); return o; }
PREFGRAD_INLINE f32x16 to_f32(i32x16 a) { f32x16 o; float* r = o.v; PREFGRAD_EACH(16, static_cast<float>(a.v[i])); return o; }
PREFGRAD_INLINE i32x16 bits_of(f32x16 a) { i32x16 o; std::memcpy(o.v, a.v, 64); return o; }
PREFGRAD_INLINE f32x16 float_of(i32x16 a) { f32x16 o; std::memcpy(o.v, a.v, 64); return o; }
PREFGRAD_INLINE f64x8 exponent_of(f64x8 a) {
  f64x8 o;
  for (int i = 0; i < 8; ++i) {
    uint64_t u;
    std::memcpy(&u, &a.v[i], 8);
    o.v[i] = static_cast<double>(static_cast<int64_t>(u >> 52) - 1023);
  }
  return o;
}
PREFGRAD_INLINE f64x8 mantissa_of(f64x8 a) {
  f64x8 o;
  for (int i = 0; i < 8; ++i) {
    uint64_t u;
    std::memcpy(&u, &a.v[i], 8);
    u = (u & 0x000fffffffffffff) | 0x3ff0000000000000;
    std::memcpy(&o.v[i], &u, 8);
  }
  return o;
}
// Lanes step up: lane l is lane l + 1 (2, 4) of x, and those that come from beyond the last are lanes 0, 1, ... of y.
template <int lanes>
PREFGRAD_INLINE f64x8 later(f64x8 x, f64x8 y) { f64x8 o; double* r = o.v; PREFGRAD_EACH(8, i + lanes < 8 ? x.v[i + lanes] : y.v[i + lanes - 8]); return o; }
PREFGRAD_INLINE double first_lane(f64x8 x) { return x.v[0]; }
// Halves: lanes l and l + half, down to one.
template <typename S, typename Combine>
PREFGRAD_INLINE S fold(const S* lanes, int count, Combine combine) {
  S s[16];
  for (int i = 0; i < count; ++i) s[i] = lanes[i];
  for (int half = count / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) s[i] = combine(s[i], s[i + half]);
  return s[0];
}
PREFGRAD_INLINE float sum(f32x16 a) { return fold(a.v, 16, [](float x, float y) { return x + y; }); }
PREFGRAD_INLINE float first_lane(f32x16 a) { return a.v[0]; }
PREFGRAD_INLINE float largest(f32x16 a) { return fold(a.v, 16, [](float x, float y) { return x > y ? x : y; }); }
PREFGRAD_INLINE double sum(f64x8 a) { return fold(a.v, 8, [](double x, double y) { return x + y; }); }

#undef PREFGRAD_EACH

}  // namespace prefgrad::PREFGRAD_ISA
