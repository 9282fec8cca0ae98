// See sample_tokens.h. exp has the operations of math.h, so that weights, and with them tokens, are those of the cpu.
//   sample_tokens  a block per row; 4 B per logit from memory, the least there is; every pass after the first reads from cache: one,
//                  up to eleven more with topK, twelve with topP. No workspace: weights are made again in every pass.
#include "../common/reduce.cuda.h"
#include "sample_tokens.launch.h"

namespace prefgrad {

using SampleSum = unsigned long long;

struct SampleRow {
  const float* x;
  int V;
  float top, inverse_temperature;
  // Only logits of this rank or a higher one stay, and only weights of this size.
  int least_rank;
  uint32_t least_weight;
};

// f32 numbers in rising order, as integers; both zeros are 0.
PREFGRAD_DEVICE int sample_rank(float x) {
  const int i = static_cast<int>(bits_of(x));
  return i >= 0 ? i : -(i & 0x7fffffff);
}

// floor(2^30 e^((x - top) / temperature)) of those that stay.
PREFGRAD_DEVICE uint32_t sample_weight(const SampleRow& row, float x) {
  const float exponent = (x - row.top) * row.inverse_temperature;
  if (!(exponent > -21.0f) || sample_rank(x) < row.least_rank) return 0;
  const float n = rint(exponent * 1.44269504f);
  float r = fma(-n, 0.693145751953125f, exponent);
  r = fma(-n, 1.42860682030941723e-6f, r);
  float q = 0x1.6a234ep-10f;
  q = fma(q, r, 0x1.123a6cp-7f);
  q = fma(q, r, 0x1.5558f4p-5f);
  q = fma(q, r, 0x1.555490p-3f);
  q = fma(q, r, 0x1.fffffcp-2f);
  const float power = float_of(static_cast<uint32_t>(static_cast<int>(n) + 157) << 23);
  const uint32_t weight = static_cast<uint32_t>((fma(r * r, q, r) + 1.0f) * power);
  return weight >= row.least_weight ? weight : 0;
}

// 64 random bits of Philox4x32-10 (philox.h): the key is the seed, the counter is (counter, stream, 0).
PREFGRAD_DEVICE uint64_t sample_bits(uint64_t seed, uint64_t counter, uint32_t stream) {
  uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), stream, 0};
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xd2511f53} * c[0], second = uint64_t{0xcd9e8d57} * c[2];
    c[0] = static_cast<uint32_t>(second >> 32) ^ c[1] ^ key[0];
    c[2] = static_cast<uint32_t>(first >> 32) ^ c[3] ^ key[1];
    c[1] = static_cast<uint32_t>(second);
    c[3] = static_cast<uint32_t>(first);
    key[0] += 0x9e3779b9;
    key[1] += 0xbb67ae85;
  }
  return uint64_t{c[1]} << 32 | c[0];
}

// Calls body(j, x_j) for the logits [begin, stop) of which this is every `stride`th; four loads at a time.
template <typename Body>
PREFGRAD_DEVICE void each_sample_logit(const float* x, int begin, int stop, int stride, Body body) {
  PREFGRAD_ROLLED
  for (int j = begin; j < stop; j += 4 * stride) {
    float four[4];
    for (int k = 0; k < 4; ++k) four[k] = stop - j > k * stride ? x[j + k * stride] : -INFINITY;
    for (int k = 0; k < 4; ++k) {
      if (stop - j > k * stride) body(j + k * stride, four[k]);
    }
  }
}

// The largest rank in [low, high] such that the amounts of all that reach it are `enough`; those that reach `low` are. Every pass
// leaves an eighth of the ranks. `of` gives an x its rank and its amount. All threads of the block get the result.
template <typename Of, typename Enough>
PREFGRAD_DEVICE int64_t largest_sample_rank(const SampleRow& row, int64_t low, int64_t high, Of of, Enough enough) {
  constexpr int bounds = 7;
  PREFGRAD_SHARED(SampleSum, of_block, bounds);
  while (low < high) {
    const int64_t step = (high - low + bounds + 1) / (bounds + 1);
    int64_t bound[bounds];
    SampleSum sum[bounds];
    for (int i = 0; i < bounds; ++i) {
      bound[i] = low + (i + 1) * step;
      sum[i] = 0;
    }
    each_sample_logit(row.x, threadIdx.x, row.V, kSampleThreads, [&](int, float x) {
      int64_t rank;
      uint32_t amount;
      of(x, rank, amount);
      for (int i = 0; i < bounds; ++i) sum[i] += rank >= bound[i] ? amount : 0;
    });
    __syncthreads();  // what the last pass left may still be read
    if (threadIdx.x < bounds) of_block[threadIdx.x] = 0;
    __syncthreads();
    for (int i = 0; i < bounds; ++i) {
      const int64_t of_warp = warp_reduce(static_cast<int64_t>(sum[i]), SumOf{});
      // Whole numbers: their order does not matter.
      if (threadIdx.x % kWarp == 0) atomicAdd(&of_block[i], static_cast<SampleSum>(of_warp));
    }
    __syncthreads();
    int reached = 0;
    while (reached < bounds && enough(of_block[reached])) ++reached;
    low += reached * step;
    high = low + step - 1 < high ? low + step - 1 : high;
  }
  return low;
}

// The first token whose running sum of weights exceeds floor(random * total / 2^64): the row is narrowed down by warps.
PREFGRAD_DEVICE int drawn_token(const SampleRow& row, uint64_t random) {
  PREFGRAD_SHARED(SampleSum, of_warps, kSampleWarps);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  SampleSum threshold = 0;
  int begin = 0, stop = row.V;
  for (bool is_first = true;; is_first = false) {
    const int piece = (stop - begin + kSampleWarps - 1) / kSampleWarps, mine = begin + warp * piece;
    SampleSum sum = 0;
    each_sample_logit(row.x, mine + lane, mine + piece < stop ? mine + piece : stop, kWarp,
                      [&](int, float x) { sum += sample_weight(row, x); });
    const int64_t of_warp = warp_reduce(static_cast<int64_t>(sum), SumOf{});
    __syncthreads();  // what the last round left may still be read
    if (lane == 0) of_warps[warp] = static_cast<SampleSum>(of_warp);
    __syncthreads();
    if (is_first) {
      SampleSum total = 0;
      for (int w = 0; w < kSampleWarps; ++w) total += of_warps[w];
      threshold = static_cast<SampleSum>(static_cast<unsigned __int128>(random) * total >> 64);
    }
    int found = 0;
    while (found < kSampleWarps - 1 && threshold >= of_warps[found]) threshold -= of_warps[found++];
    begin += found * piece;
    stop = begin + piece < stop ? begin + piece : stop;
    if (piece == 1) return begin;
  }
}

PREFGRAD_DEVICE int first_sample_equal(const SampleRow& row) {
  int64_t first = row.V;
  each_sample_logit(row.x, threadIdx.x, row.V, kSampleThreads, [&](int j, float x) {
    if (x == row.top && j < first) first = j;
  });
  return static_cast<int>(block_reduce<kSampleThreads>(first, int64_t{row.V}, MinOf{}));
}

// All threads of the block get the token; -1 where there is none.
PREFGRAD_DEVICE int sampled_token(const SampleTokens& a, int64_t i) {
  SampleRow row = {a.logits + i * a.V, static_cast<int>(a.V), -INFINITY, 0.0f, -0x7f800000, 0};
  bool has_nan = false;
  each_sample_logit(row.x, threadIdx.x, row.V, kSampleThreads, [&](int, float x) {
    has_nan = has_nan || x != x;
    row.top = fmaxf(row.top, x);
  });
  row.top = block_reduce<kSampleThreads>(row.top, -INFINITY, MaxOf{});
  if (__syncthreads_or(has_nan) || row.top == -INFINITY) return -1;
  if (a.temperature == 0.0 || row.top == INFINITY) return first_sample_equal(row);
  // A temperature near 0 would make this infinite, and 0 * infinity NaN.
  row.inverse_temperature = static_cast<float>(a.inverse_temperature < 3e38 ? a.inverse_temperature : 3e38);
  if (a.top_k > 0 && a.top_k < a.V) {
    const auto of = [](float x, int64_t& rank, uint32_t& amount) {
      rank = sample_rank(x);
      amount = 1;
    };
    const auto enough = [&](SampleSum count) { return count >= static_cast<SampleSum>(a.top_k); };
    row.least_rank = static_cast<int>(largest_sample_rank(row, row.least_rank, sample_rank(row.top), of, enough));
  }
  if (a.top_p == a.top_p) {
    const auto of = [&](float x, int64_t& rank, uint32_t& amount) { rank = amount = sample_weight(row, x); };
    int64_t mine = 0;
    each_sample_logit(row.x, threadIdx.x, row.V, kSampleThreads, [&](int, float x) { mine += sample_weight(row, x); });
    const double wanted = a.top_p * static_cast<double>(block_sum<kSampleThreads>(mine));
    const auto enough = [&](SampleSum sum) { return static_cast<double>(sum) >= wanted; };
    row.least_weight = static_cast<uint32_t>(largest_sample_rank(row, 1, int64_t{1} << 30, of, enough));
  }
  const uint32_t stream = static_cast<uint32_t>(a.streams != nullptr ? a.streams[i] : i);
  return drawn_token(row, sample_bits(a.seed, a.counter, stream));
}

PREFGRAD_KERNEL(sample_tokens, SampleTokens, kSampleThreads) {
  const int token = sampled_token(a, blockIdx.x);
  if (threadIdx.x == 0) a.tokens[blockIdx.x] = token;
}

}  // namespace prefgrad
