// Where sequences lie in [B, T] tensors and in packed ones, and sixteen tokens of a sequence at a time.
//
// Lane l of a block holds tokens l, l + 16, l + 32, ... counted from the start of the sequence, and tokens that do not count
// add exactly nothing: a packed call and a padded one give the same bits.
#pragma once
#include <limits>

#include "args.h"
#include "simd.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Span {
  int64_t start, length;
};

template <typename Args>
PREFGRAD_INLINE Span span_of(const Args& a, int64_t b) {
  if (a.offsets == nullptr) return {b * a.T, a.T};
  return {a.offsets[b], int64_t{a.offsets[b + 1]} - a.offsets[b]};
}

// Do the offsets start at 0, never fall and end at N? If not, the first that is wrong is reported, and the caller touches no
// token: falling offsets overlap, so that no sequence of the call can be trusted.
template <typename Args>
inline bool offsets_hold(const Args& a) {
  const int32_t* offsets = a.offsets;
  if (offsets == nullptr) return true;
  bool falls = false;
  for (int64_t b = 0; b < a.B; ++b) falls |= offsets[b + 1] < offsets[b];
  if (!falls && offsets[0] == 0 && offsets[a.B] == a.N) return true;
  int64_t wrong = 0;
  if (offsets[0] == 0 && a.B > 0) {
    for (wrong = 1; wrong < a.B && offsets[wrong] >= offsets[wrong - 1] && offsets[wrong] <= a.N;) ++wrong;
  }
  a.fault->report(Args::offsets_input, wrong);
  return false;
}

inline void fill_nan(float* p, int64_t count) {
  if (p == nullptr) return;
  for (int64_t i = 0; i < count; ++i) p[i] = std::numeric_limits<float>::quiet_NaN();
}

// Up to sixteen tokens; sixteen if `whole`, and all of them count if `every`. Where a token does not count, `load` gives 0
// whatever memory holds, and `store` writes 0.
template <bool whole, bool every>
struct Block {
  static constexpr bool kEvery = every;
  int64_t at;     // flat index of lane 0
  int64_t count;  // tokens of the sequence in this block
  m16 valid;

  PREFGRAD_INLINE f32x16 load(const float* p) const { return counted(peek(p)); }
  PREFGRAD_INLINE f32x16 load_or(const float* p, float absent) const {
    return p == nullptr ? f32x16::set(absent) : load(p);
  }
  // Rounds to f32 once; with `add`, after adding what is there.
  PREFGRAD_INLINE void store(float* p, f64x8 low, f64x8 high, bool add) const {
    if (add) {
      const f32x16 old = peek(p);
      put(p, counted(narrow(low + low_f64(old), high + high_f64(old)), old));
    } else {
      put(p, counted(narrow(low, high)));
    }
  }
  // Already rounded: with `add`, the sum is rounded once more.
  PREFGRAD_INLINE void store(float* p, f32x16 x, bool add) const {
    if (add) {
      const f32x16 old = peek(p);
      put(p, counted(x + old, old));
    } else {
      put(p, counted(x));
    }
  }
  PREFGRAD_INLINE void clear(float* p, bool add) const {
    if (!add) put(p, f32x16::set(0.0f));
  }

 private:
  PREFGRAD_INLINE f32x16 counted(f32x16 x) const { return every ? x : where(valid, x); }
  PREFGRAD_INLINE f32x16 counted(f32x16 x, f32x16 otherwise) const { return every ? x : select(valid, x, otherwise); }
  PREFGRAD_INLINE f32x16 peek(const float* p) const {
    return whole ? f32x16::load(p + at) : f32x16::load_first(p + at, count, 0.0f);
  }
  PREFGRAD_INLINE void put(float* p, f32x16 x) const {
    if (whole) {
      prefgrad::PREFGRAD_ISA::store(p + at, x);
    } else {
      store_first(p + at, x, count);
    }
  }
};

// Calls body with each block of the `length` tokens from `at` on.
template <typename Body>
PREFGRAD_INLINE void each_block(const uint8_t* valid, int64_t at, int64_t length, Body body) {
  int64_t i = 0;
  if (valid == nullptr) {
    for (; i + 16 <= length; i += 16) body(Block<true, true>{at + i, 16, first16(16)});
  } else {
    for (; i + 16 <= length; i += 16) body(Block<true, false>{at + i, 16, nonzero16(valid + at + i)});
  }
  const int64_t rest = length - i;
  if (rest == 0) return;
  uint8_t bytes[16] = {};
  for (int64_t l = 0; l < rest; ++l) bytes[l] = valid == nullptr || valid[at + i + l] != 0;
  body(Block<false, false>{at + i, rest, nonzero16(bytes)});
}

// Calls `block` with every sixteen tokens of a chunk, and `close` after as many as are added in f32.
template <typename Block, typename Close>
PREFGRAD_INLINE void each_group(const uint8_t* valid, Span s, Block block, Close close) {
  constexpr int64_t group = 256;
  for (int64_t i = 0; i < s.length; i += group) {
    each_block(valid, s.start + i, i + group < s.length ? group : s.length - i, block);
    close();
  }
}

PREFGRAD_INLINE int64_t count_valid(const uint8_t* valid, Span s) {
  if (valid == nullptr) return s.length;
  int64_t count = 0;
  for (int64_t i = 0; i < s.length; i += 128) {
    const int64_t stop = i + 128 < s.length ? i + 128 : s.length;
    uint8_t few = 0;
    for (int64_t j = i; j < stop; ++j) few = static_cast<uint8_t>(few + (valid[s.start + j] != 0));
    count += few;
  }
  return count;
}

// Whether any token of the span counts; mostly one of the first does.
PREFGRAD_INLINE bool any_valid(const uint8_t* valid, Span s) {
  if (valid == nullptr) return s.length > 0;
  int64_t i = 0;
  for (; i + 16 <= s.length; i += 16) {
    if (any_nonzero16(valid + s.start + i)) return true;
  }
  for (; i < s.length; ++i) {
    if (valid[s.start + i] != 0) return true;
  }
  return false;
}

// The first token of the span that counts, or -1.
PREFGRAD_INLINE int64_t first_valid(const uint8_t* valid, Span s) {
  int64_t i = s.start;
  if (valid != nullptr) {
    while (i < s.start + s.length && valid[i] == 0) ++i;
  }
  return i < s.start + s.length ? i : -1;
}

// The last one, or -1.
PREFGRAD_INLINE int64_t last_valid(const uint8_t* valid, Span s) {
  int64_t i = s.start + s.length - 1;
  if (valid != nullptr) {
    while (i >= s.start && valid[i] == 0) --i;
  }
  return i >= s.start ? i : -1;
}

}  // namespace prefgrad::PREFGRAD_ISA
