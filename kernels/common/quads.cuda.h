// Four elements of a thread, with the flags that say which of them count: moved as one where their address allows it.
#pragma once
#include "cuda.h"

namespace prefgrad {

// Up to four elements side by side. Where one does not count, `load` gives 0 whatever memory holds, and `store` writes 0.
struct Quad {
  int64_t at;      // flat index of the first
  int count;
  unsigned valid;  // a bit for each

  // From `first` on, before `end`; without flags all count.
  PREFGRAD_MEMBER Quad(const uint8_t* flags, int64_t first, int64_t end) : at(first), valid(0) {
    const int64_t rest = end - at;
    count = rest < 0 ? 0 : rest < 4 ? static_cast<int>(rest) : 4;
    uint32_t word = 0x01010101u;
    const bool whole = count == 4 && reinterpret_cast<uintptr_t>(flags + at) % 4 == 0;
    if (flags != nullptr && whole) memcpy(&word, __builtin_assume_aligned(flags + at, 4), 4);
    for (int k = 0; k < 4; ++k) {
      const bool set = flags == nullptr || whole ? (word >> 8 * k & 0xff) != 0 : k < count && flags[at + k] != 0;
      valid |= set && k < count ? 1u << k : 0u;
    }
  }
  PREFGRAD_MEMBER bool counts(int k) const { return (valid >> k & 1) != 0; }
  PREFGRAD_MEMBER int tokens() const { return __popc(valid); }

  PREFGRAD_MEMBER Float4 load(const float* p) const {
    Float4 x = valid != 0 ? peek(p) : Float4{};
    for (int k = 0; k < 4; ++k) x.x[k] = counts(k) ? x.x[k] : 0.0f;
    return x;
  }
  PREFGRAD_MEMBER Float4 load_or(const float* p, float absent) const {
    if (p != nullptr) return load(p);
    return {{absent, absent, absent, absent}};
  }
  // Rounds to f32 once; with `add`, after adding what is there.
  PREFGRAD_MEMBER void store(float* p, const double (&x)[4], bool add) const {
    if (p == nullptr) return;
    Float4 y = add ? peek(p) : Float4{};
    for (int k = 0; k < 4; ++k) {
      if (counts(k)) y.x[k] = static_cast<float>(add ? static_cast<double>(y.x[k]) + x[k] : x[k]);
    }
    put(p, y);
  }
  PREFGRAD_MEMBER void fill(float* p, float x) const {
    if (p != nullptr) put(p, {{x, x, x, x}});
  }

 private:
  PREFGRAD_MEMBER Float4 peek(const float* p) const {
    if (count == 4 && is_aligned(p + at)) return *reinterpret_cast<const Float4*>(p + at);
    Float4 x{};
    for (int k = 0; k < 4; ++k) {
      if (k < count) x.x[k] = p[at + k];
    }
    return x;
  }
  PREFGRAD_MEMBER void put(float* p, const Float4& x) const {
    if (count == 4 && is_aligned(p + at)) {
      *reinterpret_cast<Float4*>(p + at) = x;
      return;
    }
    for (int k = 0; k < 4; ++k) {
      if (k < count) p[at + k] = x.x[k];
    }
  }
};

}  // namespace prefgrad
