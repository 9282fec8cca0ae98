// What this machine can do at best: reading, copying and combining memory, and multiply-adds in registers.
// `npm run bench` holds every kernel against these. Only the bench loads this addon; the library never does.
#include <napi.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define FOR_AVX512 __attribute__((target("avx512f")))
#define FOR_AVX2 __attribute__((target("avx2,fma")))
#endif

namespace {

using prefgrad::CpuKernel;
using prefgrad::ThreadPool;

// One work item covers this many floats; arrays that are no multiple of it lose their tail, which is not counted.
constexpr int64_t kBlock = 16384;
// One work item of the arithmetic test runs this many rounds of kChains multiply-adds of one vector each.
constexpr int64_t kRounds = 20000;
constexpr int kChains = 12;
// Software prefetch, in floats ahead: hardware prefetchers stop at page borders.
constexpr int64_t kAhead = 1024;
// Places of a block that are read at once: hardware prefetchers follow several streams better than one.
constexpr int64_t kStreams = 4;

struct Args {
  float* to;
  const float* from;
  const float* other;
  std::atomic<uint32_t>* sink;  // what was read goes here, so that no compiler leaves the reading out
};

template <typename T>
const T& as(const void* args) {
  return *static_cast<const T*>(args);
}

void read_portable(const void* args, int64_t begin, int64_t end, int) {
  const float* from = as<Args>(args).from;
  uint64_t sum = 0;
  for (int64_t i = begin * kBlock; i < end * kBlock; i += 2) {
    uint64_t bits;
    std::memcpy(&bits, from + i, sizeof bits);
    sum += bits;
  }
  as<Args>(args).sink->fetch_add(static_cast<uint32_t>(sum), std::memory_order_relaxed);
}

void copy_portable(const void* args, int64_t begin, int64_t end, int) {
  const Args& a = as<Args>(args);
  std::memcpy(a.to + begin * kBlock, a.from + begin * kBlock, static_cast<size_t>((end - begin) * kBlock) * 4);
}

void triad_portable(const void* args, int64_t begin, int64_t end, int) {
  const Args& a = as<Args>(args);
  for (int64_t i = begin * kBlock; i < end * kBlock; ++i) a.to[i] = a.from[i] + 3.0f * a.other[i];
}

void multiply_add_portable(const void* args, int64_t begin, int64_t end, int) {
  float chains[kChains * 4];
  for (int c = 0; c < kChains * 4; ++c) chains[c] = static_cast<float>(begin + c);
  for (int64_t n = 0; n < (end - begin) * kRounds; ++n) {
    for (float& chain : chains) chain = chain * 0.999f + 0.001f;
  }
  for (float chain : chains) as<Args>(args).sink->fetch_add(static_cast<uint32_t>(chain), std::memory_order_relaxed);
}

#if defined(__x86_64__)

FOR_AVX512 void read_avx512(const void* args, int64_t begin, int64_t end, int) {
  const float* from = as<Args>(args).from;
  __m512i sums[8] = {};
  for (int64_t i = begin * kBlock; i < end * kBlock; i += 128) {
    for (int l = 0; l < 8; ++l) sums[l] = _mm512_add_epi32(sums[l], _mm512_loadu_si512(from + i + 16 * l));
  }
  for (int l = 1; l < 8; ++l) sums[0] = _mm512_add_epi32(sums[0], sums[l]);
  uint32_t lanes[16];
  std::memcpy(lanes, &sums[0], sizeof lanes);
  for (uint32_t lane : lanes) as<Args>(args).sink->fetch_add(lane, std::memory_order_relaxed);
}

FOR_AVX512 void read_streams_avx512(const void* args, int64_t begin, int64_t end, int) {
  const float* from = as<Args>(args).from + begin * kBlock;
  const int64_t apart = (end - begin) * kBlock / kStreams;
  __m512i sums[kStreams] = {};
  for (int64_t i = 0; i < apart; i += 32) {
    for (int l = 0; l < kStreams; ++l) {
      const float* at = from + l * apart + i;
      sums[l] = _mm512_add_epi32(sums[l], _mm512_add_epi32(_mm512_loadu_si512(at), _mm512_loadu_si512(at + 16)));
    }
  }
  for (int l = 1; l < kStreams; ++l) sums[0] = _mm512_add_epi32(sums[0], sums[l]);
  uint32_t lanes[16];
  std::memcpy(lanes, &sums[0], sizeof lanes);
  for (uint32_t lane : lanes) as<Args>(args).sink->fetch_add(lane, std::memory_order_relaxed);
}

FOR_AVX2 void read_avx2(const void* args, int64_t begin, int64_t end, int) {
  const float* from = as<Args>(args).from;
  __m256i sums[8] = {};
  for (int64_t i = begin * kBlock; i < end * kBlock; i += 64) {
    for (int l = 0; l < 8; ++l) {
      sums[l] = _mm256_add_epi32(sums[l], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i + 8 * l)));
    }
  }
  for (int l = 1; l < 8; ++l) sums[0] = _mm256_add_epi32(sums[0], sums[l]);
  uint32_t lanes[8];
  std::memcpy(lanes, &sums[0], sizeof lanes);
  for (uint32_t lane : lanes) as<Args>(args).sink->fetch_add(lane, std::memory_order_relaxed);
}

// Streamed stores write past the caches and spare the read that an ordinary store begins with. Addresses are aligned.
FOR_AVX512 void copy_streamed_avx512(const void* args, int64_t begin, int64_t end, int) {
  const Args& a = as<Args>(args);
  for (int64_t i = begin * kBlock; i < end * kBlock; i += 16) {
    _mm_prefetch(reinterpret_cast<const char*>(a.from + i + kAhead), _MM_HINT_T0);
    _mm512_stream_ps(a.to + i, _mm512_loadu_ps(a.from + i));
  }
  _mm_sfence();
}

FOR_AVX2 void copy_streamed_avx2(const void* args, int64_t begin, int64_t end, int) {
  const Args& a = as<Args>(args);
  for (int64_t i = begin * kBlock; i < end * kBlock; i += 16) {
    _mm_prefetch(reinterpret_cast<const char*>(a.from + i + kAhead), _MM_HINT_T0);
    for (int l = 0; l < 16; l += 8) _mm256_stream_ps(a.to + i + l, _mm256_loadu_ps(a.from + i + l));
  }
  _mm_sfence();
}

FOR_AVX512 void triad_avx512(const void* args, int64_t begin, int64_t end, int) {
  const Args& a = as<Args>(args);
  const __m512 scale = _mm512_set1_ps(3.0f);
  for (int64_t i = begin * kBlock; i < end * kBlock; i += 16) {
    _mm512_storeu_ps(a.to + i, _mm512_fmadd_ps(scale, _mm512_loadu_ps(a.other + i), _mm512_loadu_ps(a.from + i)));
  }
}

FOR_AVX512 void triad_streamed_avx512(const void* args, int64_t begin, int64_t end, int) {
  const Args& a = as<Args>(args);
  const __m512 scale = _mm512_set1_ps(3.0f);
  for (int64_t i = begin * kBlock; i < end * kBlock; i += 16) {
    _mm_prefetch(reinterpret_cast<const char*>(a.from + i + kAhead), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(a.other + i + kAhead), _MM_HINT_T0);
    _mm512_stream_ps(a.to + i, _mm512_fmadd_ps(scale, _mm512_loadu_ps(a.other + i), _mm512_loadu_ps(a.from + i)));
  }
  _mm_sfence();
}

FOR_AVX2 void triad_avx2(const void* args, int64_t begin, int64_t end, int) {
  const Args& a = as<Args>(args);
  const __m256 scale = _mm256_set1_ps(3.0f);
  for (int64_t i = begin * kBlock; i < end * kBlock; i += 8) {
    _mm256_storeu_ps(a.to + i, _mm256_fmadd_ps(scale, _mm256_loadu_ps(a.other + i), _mm256_loadu_ps(a.from + i)));
  }
}

FOR_AVX2 void triad_streamed_avx2(const void* args, int64_t begin, int64_t end, int) {
  const Args& a = as<Args>(args);
  const __m256 scale = _mm256_set1_ps(3.0f);
  for (int64_t i = begin * kBlock; i < end * kBlock; i += 16) {
    _mm_prefetch(reinterpret_cast<const char*>(a.from + i + kAhead), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(a.other + i + kAhead), _MM_HINT_T0);
    for (int64_t l = i; l < i + 16; l += 8) {
      _mm256_stream_ps(a.to + l, _mm256_fmadd_ps(scale, _mm256_loadu_ps(a.other + l), _mm256_loadu_ps(a.from + l)));
    }
  }
  _mm_sfence();
}

FOR_AVX512 void multiply_add_avx512(const void* args, int64_t begin, int64_t end, int) {
  const __m512 factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.001f);
  __m512 chains[kChains];
  for (__m512& chain : chains) chain = _mm512_set1_ps(1.0f);
  for (int64_t n = 0; n < (end - begin) * kRounds; ++n) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chains[c] = _mm512_fmadd_ps(chains[c], factor, term);
  }
  for (const __m512& chain : chains) {
    as<Args>(args).sink->fetch_add(static_cast<uint32_t>(_mm512_cvtss_f32(chain)), std::memory_order_relaxed);
  }
}

FOR_AVX2 void multiply_add_avx2(const void* args, int64_t begin, int64_t end, int) {
  const __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.001f);
  __m256 chains[kChains];
  for (__m256& chain : chains) chain = _mm256_set1_ps(1.0f);
  for (int64_t n = 0; n < (end - begin) * kRounds; ++n) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chains[c] = _mm256_fmadd_ps(chains[c], factor, term);
  }
  for (const __m256& chain : chains) {
    as<Args>(args).sink->fetch_add(static_cast<uint32_t>(_mm256_cvtss_f32(chain)), std::memory_order_relaxed);
  }
}

#endif

struct Test {
  const char* kind;
  const char* isa;
  CpuKernel run;
  int arrays;
  int lanes;  // floats of one vector
};

constexpr Test kTests[] = {
#if defined(__x86_64__)
    {"read", "avx512", read_avx512, 1, 16},
    {"read", "avx2", read_avx2, 1, 8},
    {"readStreams", "avx512", read_streams_avx512, 1, 16},
    {"copyStreamed", "avx512", copy_streamed_avx512, 2, 16},
    {"copyStreamed", "avx2", copy_streamed_avx2, 2, 8},
    {"triad", "avx512", triad_avx512, 3, 16},
    {"triad", "avx2", triad_avx2, 3, 8},
    {"triadStreamed", "avx512", triad_streamed_avx512, 3, 16},
    {"triadStreamed", "avx2", triad_streamed_avx2, 3, 8},
    {"multiplyAdd", "avx512", multiply_add_avx512, 0, 16},
    {"multiplyAdd", "avx2", multiply_add_avx2, 0, 8},
#endif
    {"read", "baseline", read_portable, 1, 4},
    {"copy", "baseline", copy_portable, 2, 4},
    {"triad", "baseline", triad_portable, 3, 4},
    {"multiplyAdd", "baseline", multiply_add_portable, 0, 4},
};

// open(threads) -> handle
Napi::Value open(const Napi::CallbackInfo& call) {
  const int threads = call[0].As<Napi::Number>().Int32Value();
  return Napi::External<ThreadPool>::New(call.Env(), new ThreadPool(threads),
                                         [](Napi::Env, ThreadPool* gone) { delete gone; });
}

// run(handle, kind, isa, amount, to?, from?, other?) -> floats touched per array, or multiply-adds done; 0: no such
// test here. `amount` counts floats, or work items of the arithmetic test. The arrays are Float32Arrays of at least
// `amount`; a read has its source alone.
Napi::Value run(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  ThreadPool& pool = *call[0].As<Napi::External<ThreadPool>>().Data();
  const std::string kind = call[1].As<Napi::String>(), isa = call[2].As<Napi::String>();
  const int64_t amount = call[3].As<Napi::Number>().Int64Value();
  for (const Test& test : kTests) {
    if (kind != test.kind || isa != test.isa) continue;
    float* arrays[3] = {};
    for (int i = 0; i < test.arrays; ++i) {
      Napi::Float32Array array = call[4 + i].As<Napi::Float32Array>();
      if (static_cast<int64_t>(array.ElementLength()) < amount) return Napi::Number::New(env, 0);
      arrays[i] = array.Data();
    }
    // Streamed stores need an aligned target; the others start as far in.
    const int64_t skipped = test.arrays == 0 ? 0 : (64 - reinterpret_cast<uintptr_t>(arrays[0]) % 64) % 64 / 4;
    for (float*& array : arrays) array = array == nullptr ? nullptr : array + skipped;
    std::atomic<uint32_t> sink{0};
    const Args args = {arrays[0], test.arrays == 1 ? arrays[0] : arrays[1], arrays[2], &sink};
    const int64_t items = test.arrays == 0 ? amount : (amount - skipped) / kBlock;
    pool.run(test.run, &args, items, std::max<int64_t>(1, items / (8 * pool.threads())));
    const int64_t done = items * (test.arrays == 0 ? kRounds * kChains * test.lanes : kBlock);
    return Napi::Number::New(env, static_cast<double>(done));
  }
  return Napi::Number::New(env, 0);
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("open", Napi::Function::New(env, open));
  exports.Set("run", Napi::Function::New(env, run));
  return exports;
}

}  // namespace

NODE_API_MODULE(ceilings, init)
