// A warp's batch of logits: four times sixteen bytes for each lane, 512 bytes apart, wherever they begin. Where that is no multiple
// of 16, the warp reads aligned memory all the same, and every lane takes what it lacks from the next one: which elements a lane
// has, and with that the bits of a sum, is the same for every alignment, and the speed nearly so.
#pragma once
#include "logits.cuda.h"

namespace prefgrad {

constexpr int kLogitGroups = 4;

// May whole batches of the `count` logits from p on be read by sixteen bytes? Not where those reach beyond all `logits` of the call.
template <typename Type>
PREFGRAD_DEVICE bool is_readable_aligned(const typename Type::Stored* p, int64_t count, const typename Type::Stored* logits,
                                         int64_t all) {
  const int before = static_cast<int>(reinterpret_cast<uintptr_t>(p) % 16 / sizeof(*p));
  return before == 0 || (p - before >= logits && p - before + count + Type::count <= logits + all);
}

template <typename Type>
struct LogitBatch {
  using Stored = typename Type::Stored;
  static constexpr int size = kLogitGroups * kWarp * Type::count;
  Words group[kLogitGroups];

  PREFGRAD_MEMBER LogitBatch(const Stored* p, bool reads_aligned) {
    const int lane = threadIdx.x % kWarp, skip = static_cast<int>(reinterpret_cast<uintptr_t>(p) % 16);
    const auto* const vectors = reinterpret_cast<const Words*>(p - skip / static_cast<int>(sizeof(Stored))) + lane;
    if (skip == 0) {
      for (int g = 0; g < kLogitGroups; ++g) group[g] = read_once(vectors + g * kWarp);
    } else if (reads_aligned) {
      read_shifted(vectors, skip);
    } else {
      for (int g = 0; g < kLogitGroups; ++g) group[g] = gathered(p + (g * kWarp + lane) * Type::count);
    }
  }

  // The largest of the lane's logits, or of their negatives. NaN is passed over: the sum will show it.
  PREFGRAD_MEMBER float top(bool falls) const {
    float top[4] = {-kLogitInfinity, -kLogitInfinity, -kLogitInfinity, -kLogitInfinity};
    for (int g = 0; g < kLogitGroups; ++g) {
      float x[Type::count];
      Type::widen(group[g], x);
      if (falls) {
        for (int k = 0; k < Type::count; ++k) top[k % 4] = fmaxf(top[k % 4], -x[k]);
      } else {
        for (int k = 0; k < Type::count; ++k) top[k % 4] = fmaxf(top[k % 4], x[k]);
      }
    }
    return fmaxf(fmaxf(top[0], top[1]), fmaxf(top[2], top[3]));
  }

 private:
  PREFGRAD_MEMBER void read_shifted(const Words* vectors, int skip) {
    const int lane = threadIdx.x % kWarp;
    Words raw[kLogitGroups + 1];
    for (int g = 0; g < kLogitGroups; ++g) raw[g] = read_once(vectors + g * kWarp);
    raw[kLogitGroups] = raw[0];
    if (lane == 0) raw[kLogitGroups] = read_once(vectors + kLogitGroups * kWarp);
    for (int g = 0; g < kLogitGroups; ++g) {
      Words next;
      for (int k = 0; k < 4; ++k) {
        next.w[k] = __shfl_sync(kFullMask, lane == 0 ? raw[g + 1].w[k] : raw[g].w[k], (lane + 1) % kWarp);
      }
      group[g] = shifted(raw[g], next, skip);
    }
  }

  // Sixteen bytes from `skip` bytes on of the 32 in (low, high).
  static PREFGRAD_MEMBER Words shifted(const Words& low, const Words& high, int skip) {
    uint32_t w[8];
    for (int k = 0; k < 4; ++k) {
      w[k] = low.w[k];
      w[k + 4] = high.w[k];
    }
    const bool two = (skip & 8) != 0, one = (skip & 4) != 0;
    for (int k = 0; k < 6; ++k) w[k] = two ? w[k + 2] : w[k];
    for (int k = 0; k < 5; ++k) w[k] = one ? w[k + 1] : w[k];
    Words out;
    for (int k = 0; k < 4; ++k) {
      out.w[k] = sizeof(Stored) == 4 ? w[k] : static_cast<uint32_t>((uint64_t{w[k + 1]} << 32 | w[k]) >> 8 * (skip & 2));
    }
    return out;
  }

  // The same at the ends of the memory, beyond which nothing may be read.
  static PREFGRAD_MEMBER Words gathered(const Stored* p) {
    Stored x[Type::count];
    for (int k = 0; k < Type::count; ++k) x[k] = p[k];
    Words out;
    memcpy(&out, x, 16);
    return out;
  }
};

}  // namespace prefgrad
