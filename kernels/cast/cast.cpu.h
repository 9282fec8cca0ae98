// See cast.h for the formula and the bytes.
#pragma once
#include "../common/elements.h"
#include "cast.h"

namespace prefgrad::PREFGRAD_ISA {

struct CastF32 {
  using Element = float;
  static PREFGRAD_INLINE f32x16 load(const float* p) { return f32x16::load(p); }
  static PREFGRAD_INLINE void put(float* p, f32x16 x) { store(p, x); }
};
struct CastBf16 {
  using Element = uint16_t;
  static PREFGRAD_INLINE f32x16 load(const uint16_t* p) { return f32x16::load_bf16(p); }
  static PREFGRAD_INLINE void put(uint16_t* p, f32x16 x) { store_bf16(p, x); }
};
struct CastF16 {
  using Element = uint16_t;
  static PREFGRAD_INLINE f32x16 load(const uint16_t* p) { return f32x16::load_f16(p); }
  static PREFGRAD_INLINE void put(uint16_t* p, f32x16 x) { store_f16(p, x); }
};

template <typename From, typename To>
inline void cast_elements(const Cast& a, Elements e) {
  const auto* x = static_cast<const typename From::Element*>(a.x);
  auto* y = static_cast<typename To::Element*>(a.y);
  int64_t i = e.first;
  for (; i + 16 <= e.last; i += 16) To::put(y + i, From::load(x + i));
  if (i == e.last) return;
  const size_t rest = static_cast<size_t>(e.last - i);
  typename From::Element from[16] = {};
  typename To::Element to[16];
  std::memcpy(from, x + i, rest * sizeof(from[0]));
  To::put(to, From::load(from));
  std::memcpy(y + i, to, rest * sizeof(to[0]));
}

template <typename From>
inline void cast_forward(const Cast& a, int64_t begin, int64_t end, int) {
  const Elements e(begin, end, a.N);
  switch (a.dtype) {
    case 0: return cast_elements<From, CastF32>(a, e);
    case 1: return cast_elements<From, CastBf16>(a, e);
    default: return cast_elements<From, CastF16>(a, e);
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
