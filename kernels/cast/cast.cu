// See cast.h.
//   cast_f32, cast_bf16, cast_f16  from that type; every element is read once and written once, the least there is
#include "../common/elements.cuda.h"
#include "cast.launch.h"

namespace prefgrad {

// Four elements, 16 or 8 bytes of them.
template <typename Type>
struct CastFour {
  struct alignas(4 * sizeof(typename Type::Stored)) Four {
    typename Type::Stored x[4];
  };
};

template <typename From, typename To>
PREFGRAD_DEVICE void cast_elements(const Cast& a) {
  using FourFrom = typename CastFour<From>::Four;
  using FourTo = typename CastFour<To>::Four;
  constexpr int vectors = kElementRun / 4, size = kElementThreads * kElementRun;
  const auto* const x = static_cast<const typename From::Stored*>(a.x);
  auto* const y = static_cast<typename To::Stored*>(a.y);
  const int64_t first = int64_t{blockIdx.x} * size, last = first + size < a.N ? first + size : a.N;
  if (last == first + size && is_aligned(x) && is_aligned(y)) {
    const int64_t at = first + 4 * static_cast<int>(threadIdx.x);
    FourFrom in[vectors];
    for (int v = 0; v < vectors; ++v) in[v] = *reinterpret_cast<const FourFrom*>(x + at + 4 * v * kElementThreads);
    for (int v = 0; v < vectors; ++v) {
      FourTo out;
      for (int k = 0; k < 4; ++k) To::store(&out.x[k], From::load(&in[v].x[k]));
      *reinterpret_cast<FourTo*>(y + at + 4 * v * kElementThreads) = out;
    }
    return;
  }
  for (int64_t i = first + threadIdx.x; i < last; i += kElementThreads) To::store(y + i, From::load(x + i));
}

template <typename From>
PREFGRAD_DEVICE void cast_from(const Cast& a) {
  if (a.dtype == 0) {
    cast_elements<From, ElementF32>(a);
  } else if (a.dtype == 1) {
    cast_elements<From, ElementBf16>(a);
  } else {
    cast_elements<From, ElementF16>(a);
  }
}

PREFGRAD_KERNEL(cast_f32, Cast, kElementThreads) { cast_from<ElementF32>(a); }
PREFGRAD_KERNEL(cast_bf16, Cast, kElementThreads) { cast_from<ElementBf16>(a); }
PREFGRAD_KERNEL(cast_f16, Cast, kElementThreads) { cast_from<ElementF16>(a); }

}  // namespace prefgrad
