// The emulator by itself: what every primitive does, under every schedule, and that every misuse is found. Prints one line per
// claim and ends with the number of those that do not hold.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#define PREFGRAD_CUDA 1
#include "language.h"

namespace {

std::function<void()> kernel;
void entry(const void*) { kernel(); }

const emulator::Schedule schedules[] = {{emulator::Order::forward, 1},
                                        {emulator::Order::reversed, 1},
                                        {emulator::Order::random, 1},
                                        {emulator::Order::random, 2},
                                        {emulator::Order::random, 3}};
int failures = 0;

void claim(const char* text, bool holds) {
  std::printf("%s - %s\n", holds ? "ok" : "not ok", text);
  failures += !holds;
}

// What went wrong under a schedule; empty: nothing.
std::string problem_of(const emulator::Grid& grid, const emulator::Schedule& schedule, std::function<void()> body) {
  kernel = std::move(body);
  const char* problem = emulator::run(entry, nullptr, grid, schedule);
  return problem == nullptr ? "" : problem;
}

// Every schedule ends well and leaves the same numbers.
void same_everywhere(const char* text, const emulator::Grid& grid, const std::vector<int>& expected,
                     const std::function<void(std::vector<int>&)>& body) {
  bool holds = true;
  for (const emulator::Schedule& schedule : schedules) {
    std::vector<int> out(expected.size(), -1);
    const std::string problem = problem_of(grid, schedule, [&] { body(out); });
    if (!problem.empty()) std::printf("# %s\n", problem.c_str());
    holds = holds && problem.empty() && out == expected;
  }
  claim(text, holds);
}

// Every schedule finds the mistake, in these words.
void found_everywhere(const char* text, const emulator::Grid& grid, const char* words, const std::function<void()>& body) {
  bool holds = true;
  for (const emulator::Schedule& schedule : schedules) {
    const std::string problem = problem_of(grid, schedule, body);
    if (problem.find(words) == std::string::npos) {
      std::printf("# %s\n", problem.c_str());
      holds = false;
    }
  }
  claim(text, holds);
}

// At least one schedule gives other numbers than the first: without sanitizers a missing barrier shows in this way.
void differs_somewhere(const char* text, const emulator::Grid& grid, size_t size, const std::function<void(std::vector<int>&)>& body) {
  std::vector<std::vector<int>> runs;
  for (const emulator::Schedule& schedule : schedules) {
    std::vector<int> out(size, -1);
    problem_of(grid, schedule, [&] { body(out); });
    runs.push_back(out);
  }
  claim(text, std::any_of(runs.begin(), runs.end(), [&](const auto& run) { return run != runs[0]; }));
}

std::vector<int> numbers(int count, const std::function<int(int)>& of) {
  std::vector<int> list(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) list[static_cast<size_t>(i)] = of(i);
  return list;
}
int thread() { return static_cast<int>(threadIdx.x); }

void what_primitives_do() {
  same_everywhere("threads and blocks know their place", {3, 40, 1, 0}, numbers(120, [](int i) { return i; }), [](auto& out) {
    const size_t i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = gridDim.x == 3 && blockDim.x == 40 ? static_cast<int>(i) : -2;
  });
  same_everywhere("a block's barrier shows what all wrote before it", {2, 96, 1, 0}, numbers(192, [](int i) { return i / 96 * 1000 + 95 - i % 96; }),
                  [](auto& out) {
                    PREFGRAD_SHARED(int, table, 96);
                    table[thread()] = static_cast<int>(blockIdx.x) * 1000 + thread();
                    __syncthreads();
                    out[blockIdx.x * 96 + threadIdx.x] = table[95 - thread()];
                  });
  same_everywhere("a warp's barrier is the warp's own", {1, 64, 1, 0}, numbers(64, [](int i) { return i ^ 1; }), [](auto& out) {
    PREFGRAD_SHARED(int, table, 64);
    table[thread()] = thread();
    if (thread() < 32) {
      __syncwarp();
    } else {
      __syncwarp();
      __syncwarp();
    }
    out[threadIdx.x] = table[thread() ^ 1];
  });
  same_everywhere("shuffles take from lanes; from beyond the segment a lane keeps its own", {1, 32, 1, 0},
                  numbers(32 * 4, [](int i) {
                    const int lane = i / 4;
                    switch (i % 4) {
                      case 0: return lane ^ 5;
                      case 1: return lane % 8 + 3 < 8 ? lane + 3 : lane;
                      case 2: return lane % 16 >= 2 ? lane - 2 : lane;
                      default: return lane / 4 * 4 + 1;
                    }
                  }),
                  [](auto& out) {
                    const int lane = thread();
                    out[lane * 4] = __shfl_xor_sync(~0u, lane, 5);
                    out[lane * 4 + 1] = __shfl_down_sync(~0u, lane, 3, 8);
                    out[lane * 4 + 2] = __shfl_up_sync(~0u, lane, 2, 16);
                    out[lane * 4 + 3] = __shfl_sync(~0u, lane, 1, 4);
                  });
  same_everywhere("votes count lanes, and barriers that vote count threads", {1, 64, 1, 0},
                  numbers(64, [](int i) { return i < 32 ? 0x10 + 100 : 0x20 + 100; }), [](auto& out) {
                    const unsigned votes = __ballot_sync(~0u, thread() == 4 || thread() == 37);
                    const int any = __syncthreads_or(thread() == 63), none = __syncthreads_or(0), all = __syncthreads_and(thread() < 64);
                    out[threadIdx.x] = static_cast<int>(votes) + (any && !none && all ? 100 : 0);
                  });
  same_everywhere("part of a warp can meet alone", {1, 32, 1, 0}, numbers(32, [](int i) { return i < 8 ? 28 : i; }), [](auto& out) {
    int sum = thread();
    if (thread() < 8) {
      for (int step = 4; step > 0; step /= 2) sum += __shfl_xor_sync(0xffu, sum, step);
    }
    out[threadIdx.x] = sum;
  });
  same_everywhere("integer atomics add up", {8, 33, 1, 0}, {8 * 33}, [](auto& out) {
    if (out[0] == -1) out[0] = 0;
    atomicAdd(&out[0], 1);
  });
  same_everywhere("a cluster's blocks see each other's shared memory", {4, 32, 2, 0}, {100, 0, 300, 200}, [](auto& out) {
    PREFGRAD_SHARED(int, mine, 1);
    if (thread() == 0) mine[0] = static_cast<int>(blockIdx.x) * 100;
    emulator::cluster_barrier();
    const int* const theirs = PREFGRAD_CLUSTER_SHARED(mine, emulator::cluster_rank() ^ 1);
    if (thread() == 0) out[blockIdx.x] = theirs[0];
    emulator::cluster_barrier();
  });
  same_everywhere("shared memory is new and full of NaN for every block", {3, 32, 1, 64}, {1, 1, 1}, [](auto& out) {
    PREFGRAD_SHARED(float, table, 2);
    PREFGRAD_DYNAMIC_SHARED(float, more);
    if (thread() == 0) {
      out[blockIdx.x] = std::isnan(table[1]) && std::isnan(more[15]);
      table[1] = more[15] = 1.0f;
    }
  });
}

void what_mistakes_show() {
  differs_somewhere("a missing __syncthreads changes numbers", {1, 64, 1, 0}, 64, [](auto& out) {
    PREFGRAD_SHARED(int, table, 64);
    table[thread()] = thread();
    out[threadIdx.x] = table[63 - thread()];
  });
  differs_somewhere("a missing __syncwarp changes numbers", {1, 32, 1, 0}, 32, [](auto& out) {
    PREFGRAD_SHARED(int, table, 32);
    table[thread()] = thread();
    out[threadIdx.x] = table[31 - thread()];
  });
  found_everywhere("a barrier that some threads left before", {1, 64, 1, 0}, "32 threads left while 32 wait at __syncthreads", [] {
    if (thread() < 32) __syncthreads();
  });
  found_everywhere("lanes that left while others shuffle with them", {1, 32, 1, 0}, "left while lane", [] {
    if (thread() < 16) __shfl_xor_sync(~0u, 1, 1);
  });
  found_everywhere("masks that differ", {1, 32, 1, 0}, "meet at __syncwarp", [] { __syncwarp(thread() < 16 ? 0xffffffffu : 0xffff0000u | 1u << thread()); });
  found_everywhere("a lane that its own mask leaves out", {1, 32, 1, 0}, "which leaves it out", [] { __syncwarp(0xfffeu); });
  found_everywhere("a shuffle from a lane that takes no part", {1, 32, 1, 0}, "takes no part", [] {
    if (thread() < 16) __shfl_sync(0xffffu, 1, 20);
  });
  found_everywhere("threads that wait for each other at different places", {1, 64, 1, 0}, "for ever", [] {
    if (thread() % 32 == 0) {
      __syncthreads();
    } else {
      __syncwarp();
    }
  });
  found_everywhere("a cluster's barrier that one block leaves out", {2, 32, 2, 0}, "left while", [] {
    if (blockIdx.x == 0) emulator::cluster_barrier();
  });
  const std::string after = problem_of({1, 64, 1, 0}, {}, [] { __syncthreads(); });
  claim("and the next kernel runs as if nothing had been", after.empty());
}

}  // namespace

int main() {
  what_primitives_do();
  what_mistakes_show();
  return failures;
}
