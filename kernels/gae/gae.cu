// See gae.h for the formula, gae_scan.cuda.h for the order of the scan. Bytes per step: 16 and the flags, the least.
//   gae_check      more than 2048 packed sequences only: are the offsets in order?
//   gae_rows_32    rows of up to 256 steps: a warp each
//   gae_rows_64    up to 512 steps: a block of 64 threads each;  gae_rows_128  up to 1024
//   gae_rows_256   many longer rows: a block each, from the last chunk of 2048 steps to the first
//   gae_cluster    few long rows (sm_90): a cluster of 8 blocks each, which hold the row in shared memory and exchange the
//                  maps of their chunks once per 32768 steps
//   gae_reduce, gae_apply   few long rows elsewhere: the maps of all chunks, then the rest; 24 B per step, flags twice
#include "gae_scan.cuda.h"

namespace prefgrad {

// With broken offsets everything is NaN. The threads of a block, and blocks, share the work.
PREFGRAD_DEVICE bool gae_is_broken(const Gae& a, bool broken) {
  if (!broken) return false;
  for (int64_t i = global_thread(); i < a.N; i += global_threads()) a.advantages[i] = a.returns[i] = nan_f32();
  return true;
}
template <int block>
PREFGRAD_DEVICE bool gae_offsets_broken(const Gae& a) {
  if (!gae_checks_alone(a)) return gae_is_broken(a, *static_cast<const int64_t*>(a.workspace) != 0);
  return gae_is_broken(a, are_offsets_broken<block>(a));
}

PREFGRAD_KERNEL(gae_check, Gae, kGaeThreads) {
  const bool broken = are_offsets_broken<kGaeThreads>(a);
  if (threadIdx.x == 0) *static_cast<int64_t*>(a.workspace) = broken;
}

template <int threads>
PREFGRAD_DEVICE void gae_rows(const Gae& a) {
  using Group = GaeGroup<threads>;
  constexpr int warps = threads / kWarp, steps = threads * kGaeSteps;
  PREFGRAD_SHARED(Float4, staged_rewards, Group::block * kGaeSteps / 4);
  PREFGRAD_SHARED(Float4, staged_values, Group::block * kGaeSteps / 4);
  PREFGRAD_SHARED(GaeMap, segments, 2 * warps);
  PREFGRAD_SHARED(double, of_rows, 2 * kGaeThreads / kWarp);
  if (gae_offsets_broken<Group::block>(a) || Group::row() >= a.B) return;
  const int thread = Group::thread(), warp = threadIdx.x / kWarp, mine = Group::is_warp ? warp * steps : 0;
  float* const rewards = reinterpret_cast<float*>(staged_rewards) + mine;
  float* const values = reinterpret_cast<float*>(staged_values) + mine;
  const GaeRow row = gae_row<threads>(a, Group::row());
  gae_clear<threads>(a, row.span.start, row.begin);
  gae_clear<threads>(a, row.stop, row.span.start + row.span.length);
  const int lambdas = gae_lambdas(a);
  // What comes from behind the chunk, for each lambda of each row.
  double* const behind = of_rows + (Group::is_warp ? 2 * warp : 0);
  if (thread < lambdas) behind[thread] = gae_behind(a, row.b);
  for (int64_t chunk = row.chunks() - 1; chunk >= 0; --chunk) {
    const int64_t first = row.begin + chunk * kGaeChunk, rest = row.stop - first, count = rest < steps ? rest : steps;
    gae_stage<threads>(a.rewards + first, count, rewards);
    gae_stage<threads>(a.values + first, count, values);
    Group::sync();
    float *const own_rewards = rewards + thread * kGaeSteps, *const own_values = values + thread * kGaeSteps;
    const GaeOwn own(a, row, first + thread * kGaeSteps, own_rewards, own_values);
    for (int which = 0; which < lambdas; ++which) {
      const double decay = gae_decay(a, row.b, which);
      GaeMap segment;
      const GaeMap inner = gae_scan_warp(own.map(a, decay), segment);
      double s = behind[which];
      if (!Group::is_warp) {
        if (thread % kWarp == 0) segments[which * warps + warp] = segment;
        __syncthreads();
        s = gae_behind_warp(segments + which * warps, warps, s);
      }
      own.apply(a, decay, gae_after(inner, s), which == 0 ? own_rewards : nullptr,
                which + 1 == lambdas ? own_values : nullptr);
    }
    Group::sync();
    if (thread < lambdas && chunk > 0) {
      behind[thread] = gae_after(gae_chunk_map(segments + thread * warps, warps), behind[thread]);
    }
    gae_unstage<threads>(rewards, count, a.advantages + first);
    gae_unstage<threads>(values, count, a.returns + first);
    Group::sync();
  }
}

PREFGRAD_KERNEL(gae_rows_32, Gae, kGaeThreads) { gae_rows<32>(a); }
PREFGRAD_KERNEL(gae_rows_64, Gae, 64) { gae_rows<64>(a); }
PREFGRAD_KERNEL(gae_rows_128, Gae, 128) { gae_rows<128>(a); }
PREFGRAD_KERNEL(gae_rows_256, Gae, kGaeThreads) { gae_rows<256>(a); }

// One row per cluster: `held` chunks to a block, the first block has the first ones; the last round of chunks first.
PREFGRAD_KERNEL(gae_cluster, Gae, kGaeThreads) {
  constexpr int warps = kGaeThreads / kWarp, most_maps = 2 * kGaeCluster;
  PREFGRAD_SHARED(GaeMap, segments, 2 * 2 * warps);   // of held chunks, for each lambda
  PREFGRAD_SHARED(GaeMap, chunk_maps, 2 * 2);
  PREFGRAD_SHARED(GaeMap, all_maps, 2 * most_maps);   // of the whole cluster
  PREFGRAD_SHARED(double, behind_chunk, 2 * 2);
  PREFGRAD_SHARED(double, behind_round, 2);
  PREFGRAD_DYNAMIC_SHARED(unsigned char, room);
  const bool broken = gae_offsets_broken<kGaeThreads>(a);
  if (broken || blockIdx.x / kGaeCluster >= a.B) return;  // whole clusters leave
  const int thread = threadIdx.x, warp = thread / kWarp, rank = static_cast<int>(cluster_rank());
  const int held = gae_chunks_held(a), lambdas = gae_lambdas(a), maps = held * kGaeCluster;
  float *const rewards = reinterpret_cast<float*>(room), *const values = rewards + held * kGaeChunk;
  GaeMap* const inner = reinterpret_cast<GaeMap*>(values + held * kGaeChunk);
  const GaeRow row = gae_row<kGaeThreads>(a, blockIdx.x / kGaeCluster);
  // The padding before and behind is shared out.
  const auto clear = [&](int64_t from, int64_t to) {
    const int64_t part = blocks_of(to - from, kGaeCluster), begin = from + rank * part;
    gae_clear<kGaeThreads>(a, begin, begin + part < to ? begin + part : to);
  };
  clear(row.span.start, row.begin);
  clear(row.stop, row.span.start + row.span.length);
  if (thread < 2) behind_round[thread] = gae_behind(a, row.b);
  const auto count_of = [&](int64_t chunk) -> int64_t {
    const int64_t rest = row.stop - row.begin - chunk * kGaeChunk;
    return rest < 0 ? 0 : rest < kGaeChunk ? rest : kGaeChunk;
  };
  for (int64_t round = blocks_of(row.chunks(), maps) - 1; round >= 0; --round) {
    const int64_t first_chunk = round * maps + rank * held;
    for (int h = 0; h < held; ++h) {
      const int64_t chunk = first_chunk + h, first = row.begin + chunk * kGaeChunk, count = count_of(chunk);
      if (count == 0) break;
      gae_stage<kGaeThreads>(a.rewards + first, count, rewards + h * kGaeChunk);
      gae_stage<kGaeThreads>(a.values + first, count, values + h * kGaeChunk);
    }
    __syncthreads();
    for (int h = 0; h < held; ++h) {
      const int at = h * kGaeChunk + thread * kGaeSteps;
      const int64_t first = row.begin + (first_chunk + h) * kGaeChunk;
      const GaeOwn own(a, row, first + thread * kGaeSteps, rewards + at, values + at);
      for (int which = 0; which < lambdas; ++which) {
        GaeMap segment;
        inner[(h * lambdas + which) * kGaeThreads + thread] = gae_scan_warp(own.map(a, gae_decay(a, row.b, which)), segment);
        if (thread % kWarp == 0) segments[(h * 2 + which) * warps + warp] = segment;
      }
    }
    __syncthreads();
    if (thread < 4 && thread / 2 < held && thread % 2 < lambdas) {
      chunk_maps[thread] = gae_chunk_map(segments + thread * warps, warps);
    }
    cluster_sync();
    if (thread < 2 * maps && thread % 2 < lambdas) {
      const int chunk = thread / 2;
      all_maps[thread] = PREFGRAD_CLUSTER_SHARED(chunk_maps, chunk / held)[chunk % held * 2 + thread % 2];
    }
    cluster_sync();  // nobody's maps change, and nobody leaves, while they are read
    if (thread < lambdas) {
      double s = behind_round[thread];
      for (int chunk = maps - 1; chunk >= 0; --chunk) {
        if (chunk / held == rank) behind_chunk[chunk % held * 2 + thread] = s;
        s = gae_after(all_maps[chunk * 2 + thread], s);
      }
      behind_round[thread] = s;
    }
    __syncthreads();
    for (int h = 0; h < held; ++h) {
      const int at = h * kGaeChunk + thread * kGaeSteps;
      const int64_t first = row.begin + (first_chunk + h) * kGaeChunk;
      const GaeOwn own(a, row, first + thread * kGaeSteps, rewards + at, values + at);
      for (int which = 0; which < lambdas; ++which) {
        const double s = gae_behind_warp(segments + (h * 2 + which) * warps, warps, behind_chunk[h * 2 + which]);
        own.apply(a, gae_decay(a, row.b, which), gae_after(inner[(h * lambdas + which) * kGaeThreads + thread], s),
                  which == 0 ? rewards + at : nullptr, which + 1 == lambdas ? values + at : nullptr);
      }
    }
    __syncthreads();
    for (int h = 0; h < held; ++h) {
      const int64_t first = row.begin + (first_chunk + h) * kGaeChunk, count = count_of(first_chunk + h);
      if (count == 0) break;
      gae_unstage<kGaeThreads>(rewards + h * kGaeChunk, count, a.advantages + first);
      gae_unstage<kGaeThreads>(values + h * kGaeChunk, count, a.returns + first);
    }
    __syncthreads();
  }
}

// The maps of the chunks of all slots, for each lambda.
PREFGRAD_DEVICE GaeMap& gae_slot_map(const Gae& a, int64_t slot, int which) {
  return reinterpret_cast<GaeMap*>(static_cast<int64_t*>(a.workspace) + 1)[slot * gae_lambdas(a) + which];
}

// One chunk, by its own block. Without `finish` its maps are all that is wanted.
template <bool finish>
PREFGRAD_DEVICE void gae_slot(const Gae& a) {
  constexpr int warps = kGaeThreads / kWarp;
  PREFGRAD_SHARED(Float4, staged_rewards, kGaeChunk / 4);
  PREFGRAD_SHARED(Float4, staged_values, kGaeChunk / 4);
  PREFGRAD_SHARED(GaeMap, segments, 2 * warps);
  PREFGRAD_SHARED(GaeMap, later, kGaeThreads);
  if (gae_offsets_broken<kGaeThreads>(a)) return;
  const int64_t slot = blockIdx.x;
  const Chunk chunk = chunk_of<kGaeChunk>(a, slot);
  if (chunk.sequence < 0 || (!finish && chunk.number == 0)) return;  // nobody is before the first chunk
  const int thread = threadIdx.x, warp = thread / kWarp, lambdas = gae_lambdas(a);
  float *const rewards = reinterpret_cast<float*>(staged_rewards), *const values = reinterpret_cast<float*>(staged_values);
  const GaeRow row = gae_row<kGaeThreads>(a, chunk.sequence);
  const int64_t end = row.span.start + row.span.length, first = row.begin + chunk.number * kGaeChunk;
  const int64_t rest = row.stop - first;
  const int64_t count = rest < 0 ? 0 : rest < kGaeChunk ? rest : kGaeChunk;
  if (finish) {
    if (chunk.number == 0) gae_clear<kGaeThreads>(a, row.span.start, row.begin);
    gae_clear<kGaeThreads>(a, first + count, first + kGaeChunk < end ? first + kGaeChunk : end);
  }
  if (count == 0) return;
  gae_stage<kGaeThreads>(a.rewards + first, count, rewards);
  gae_stage<kGaeThreads>(a.values + first, count, values);
  __syncthreads();
  float *const own_rewards = rewards + thread * kGaeSteps, *const own_values = values + thread * kGaeSteps;
  const GaeOwn own(a, row, first + thread * kGaeSteps, own_rewards, own_values);
  for (int which = 0; which < lambdas; ++which) {
    const double decay = gae_decay(a, row.b, which);
    GaeMap segment;
    const GaeMap inner = gae_scan_warp(own.map(a, decay), segment);
    if (thread % kWarp == 0) segments[which * warps + warp] = segment;
    __syncthreads();
    if (!finish) {
      if (thread == 0) gae_slot_map(a, slot, which) = gae_chunk_map(segments + which * warps, warps);
      continue;
    }
    double s = gae_behind(a, row.b);
    for (int64_t last = row.chunks(); last > chunk.number + 1;) {
      const int64_t all = last - chunk.number - 1;
      const int some = all < kGaeThreads ? static_cast<int>(all) : kGaeThreads;
      if (thread < some) later[thread] = gae_slot_map(a, slot + (last - 1 - thread - chunk.number), which);
      __syncthreads();
      for (int k = 0; k < some; ++k) s = gae_after(later[k], s);
      __syncthreads();
      last -= some;
    }
    s = gae_behind_warp(segments + which * warps, warps, s);
    own.apply(a, decay, gae_after(inner, s), which == 0 ? own_rewards : nullptr,
              which + 1 == lambdas ? own_values : nullptr);
  }
  if (!finish) return;
  __syncthreads();
  gae_unstage<kGaeThreads>(rewards, count, a.advantages + first);
  gae_unstage<kGaeThreads>(values, count, a.returns + first);
}

PREFGRAD_KERNEL(gae_reduce, Gae, kGaeThreads) { gae_slot<false>(a); }
PREFGRAD_KERNEL(gae_apply, Gae, kGaeThreads) { gae_slot<true>(a); }

}  // namespace prefgrad
