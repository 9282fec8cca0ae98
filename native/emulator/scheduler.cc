#include "scheduler.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "fiber.h"

namespace emulator {

Index thread_index, block_index, block_size, grid_size;

namespace {

constexpr unsigned kLanes = 32;

enum class Wait { none, warp_barrier, exchange, ballot, block_barrier, cluster_barrier, left };

const char* name_of(Wait wait) {
  switch (wait) {
    case Wait::warp_barrier: return "__syncwarp";
    case Wait::exchange: return "a shuffle";
    case Wait::ballot: return "a vote";
    case Wait::block_barrier: return "__syncthreads";
    case Wait::cluster_barrier: return "a cluster barrier";
    case Wait::left: return "its end";
    default: return "nothing";
  }
}

struct Thread {
  Fiber fiber;
  Wait wait = Wait::none;
  unsigned mask = 0;
  uint64_t value = 0;   // what it gave, then what it got
  int source = 0;
  bool predicate = false;
};

// An array of its own size, so that a sanitizer sees every step beyond it.
struct SharedArray {
  const void* key;
  void* data;
  size_t bytes;
};

struct Block {
  unsigned number = 0;
  std::vector<SharedArray> arrays;
  SharedArray dynamic = {nullptr, nullptr, 0};
  // A barrier alternates between two places, so that one who leaves late learns nothing of the next.
  char barrier[2] = {0, 0};
  int phase = 0;
};

struct WarpMarks {
  char barrier[2] = {0, 0};
  int phase = 0;
};

struct Machine {
  std::deque<Thread> threads;
  std::vector<Block> blocks;
  std::vector<WarpMarks> warps;
  unsigned threads_per_block = 0;
  Entry entry = nullptr;
  const void* args = nullptr;
  Thread* running = nullptr;
  unsigned running_number = 0;
  char cluster_barrier[2] = {0, 0};
  int cluster_phase = 0;
  char start = 0, end = 0;
  std::mt19937_64 random;
  Order order = Order::forward;
  char problem[256];
  bool failed = false;
};

Machine machine;

void fail(const char* format, ...) {
  if (machine.failed) return;
  machine.failed = true;
  va_list list;
  va_start(list, format);
  std::vsnprintf(machine.problem, sizeof machine.problem, format, list);
  va_end(list);
}

Block& block_of_running() { return machine.blocks[machine.running_number / machine.threads_per_block]; }
unsigned warps_per_block() { return (machine.threads_per_block + kLanes - 1) / kLanes; }
WarpMarks& warp_of_running() {
  const unsigned block = machine.running_number / machine.threads_per_block;
  return machine.warps[block * warps_per_block() + machine.running_number % machine.threads_per_block / kLanes];
}

void wait_for(Wait wait) {
  machine.running->wait = wait;
  machine.running->fiber.suspend();
}

void* new_array(size_t bytes, size_t alignment) {
  const size_t least = std::max(alignment, sizeof(void*));
  void* data = nullptr;
  if (posix_memalign(&data, least, std::max<size_t>(bytes, 1)) != 0) std::abort();
  std::memset(data, 0xff, bytes);
  return data;
}

void body() {
  for (;;) {
    sanitizer_acquire(&machine.start);
    machine.entry(machine.args);
    sanitizer_release(&machine.end);
    wait_for(Wait::left);
  }
}

// Runs one thread until it waits.
void step(unsigned number) {
  Thread& thread = machine.threads[number];
  machine.running = &thread;
  machine.running_number = number;
  thread_index = {number % machine.threads_per_block, 0, 0};
  block_index = {machine.blocks[number / machine.threads_per_block].number, 0, 0};
  thread.fiber.resume();
}

// The lanes of a warp that wait for each other: gives them what they asked for. True when any of them can go on.
bool meet(unsigned first, unsigned count, WarpMarks& marks) {
  bool moved = false;
  for (unsigned lane = 0; lane < count; ++lane) {
    Thread& leader = machine.threads[first + lane];
    const Wait wait = leader.wait;
    if (wait != Wait::warp_barrier && wait != Wait::exchange && wait != Wait::ballot) continue;
    const unsigned mask = leader.mask;
    const unsigned there = count == kLanes ? 0xffffffffu : (1u << count) - 1;
    if ((mask >> lane & 1) == 0) {
      fail("lane %u waits at %s with mask %08x, which leaves it out", lane, name_of(wait), mask);
      return false;
    }
    bool complete = true;
    for (unsigned other = 0; other < count; ++other) {
      if ((mask >> other & 1) == 0) continue;
      Thread& thread = machine.threads[first + other];
      if (thread.wait == Wait::left) {
        fail("lane %u left while lane %u waits for it at %s", other, lane, name_of(wait));
        return false;
      }
      if (thread.wait == Wait::none) {
        complete = false;
      } else if (thread.wait == wait && thread.mask != mask) {
        fail("masks %08x and %08x meet at %s", mask, thread.mask, name_of(wait));
        return false;
      } else if (thread.wait != wait) {
        complete = false;
      }
    }
    if (!complete) continue;
    const unsigned present = mask & there;
    if (wait == Wait::ballot) {
      unsigned votes = 0;
      for (unsigned other = 0; other < count; ++other) {
        if ((present >> other & 1) != 0 && machine.threads[first + other].predicate) votes |= 1u << other;
      }
      for (unsigned other = 0; other < count; ++other) {
        if ((present >> other & 1) != 0) machine.threads[first + other].value = votes;
      }
    }
    if (wait == Wait::exchange) {
      uint64_t given[kLanes] = {};
      for (unsigned other = 0; other < count; ++other) given[other] = machine.threads[first + other].value;
      for (unsigned other = 0; other < count; ++other) {
        if ((present >> other & 1) == 0) continue;
        Thread& thread = machine.threads[first + other];
        const unsigned source = static_cast<unsigned>(thread.source);
        if (source >= kLanes || (present >> source & 1) == 0) {
          fail("lane %u reads lane %u, which takes no part in the shuffle", other, source);
          return false;
        }
        thread.value = given[source];
      }
    }
    if (wait == Wait::warp_barrier) marks.phase ^= 1;
    for (unsigned other = 0; other < count; ++other) {
      if ((present >> other & 1) != 0) machine.threads[first + other].wait = Wait::none;
    }
    moved = true;
  }
  return moved;
}

std::vector<unsigned> ordered(unsigned count) {
  std::vector<unsigned> numbers(count);
  for (unsigned i = 0; i < count; ++i) numbers[i] = machine.order == Order::reversed ? count - 1 - i : i;
  if (machine.order == Order::random) std::shuffle(numbers.begin(), numbers.end(), machine.random);
  return numbers;
}

// Runs a warp as far as it goes without other warps.
void run_warp(unsigned block, unsigned warp) {
  const unsigned in_block = warp * kLanes;
  const unsigned count = std::min(kLanes, machine.threads_per_block - in_block);
  const unsigned first = block * machine.threads_per_block + in_block;
  WarpMarks& marks = machine.warps[block * warps_per_block() + warp];
  do {
    // The order of the lanes is drawn anew each time only where it is random.
    if (machine.order == Order::random) {
      for (const unsigned lane : ordered(count)) {
        if (machine.threads[first + lane].wait == Wait::none && !machine.failed) step(first + lane);
      }
    } else {
      for (unsigned i = 0; i < count; ++i) {
        const unsigned lane = machine.order == Order::reversed ? count - 1 - i : i;
        if (machine.threads[first + lane].wait == Wait::none && !machine.failed) step(first + lane);
      }
    }
  } while (!machine.failed && meet(first, count, marks));
}

// Opens the barrier that all threads [first, last) wait at, if they do. Those who left before are an error.
bool open_barrier(unsigned first, unsigned last, Wait wait) {
  unsigned waiting = 0, left = 0;
  for (unsigned number = first; number < last; ++number) {
    waiting += machine.threads[number].wait == wait;
    left += machine.threads[number].wait == Wait::left;
  }
  if (waiting == 0 || waiting + left < last - first) return false;
  if (left > 0) {
    fail("%u threads left while %u wait at %s", left, waiting, name_of(wait));
    return false;
  }
  // Who votes at the barrier is told whether anybody said yes.
  bool any = false;
  for (unsigned number = first; number < last; ++number) any |= machine.threads[number].predicate;
  for (unsigned number = first; number < last; ++number) {
    Thread& thread = machine.threads[number];
    thread.wait = Wait::none;
    thread.value = any;
    thread.predicate = false;
  }
  return true;
}

bool all_left() {
  for (const Thread& thread : machine.threads) {
    if (thread.wait != Wait::left) return false;
  }
  return true;
}

// The blocks of one cluster, side by side.
void run_cluster() {
  const unsigned threads = machine.threads_per_block;
  const unsigned blocks = static_cast<unsigned>(machine.blocks.size());
  while (!machine.failed && !all_left()) {
    for (const unsigned place : ordered(blocks * warps_per_block())) {
      if (!machine.failed) run_warp(place / warps_per_block(), place % warps_per_block());
    }
    if (machine.failed) return;
    bool moved = false;
    for (unsigned block = 0; block < blocks; ++block) {
      if (open_barrier(block * threads, (block + 1) * threads, Wait::block_barrier)) {
        machine.blocks[block].phase ^= 1;
        moved = true;
      }
    }
    if (!machine.failed && !moved && open_barrier(0, blocks * threads, Wait::cluster_barrier)) {
      machine.cluster_phase ^= 1;
      moved = true;
    }
    if (machine.failed || moved || all_left()) continue;
    for (unsigned number = 0; number < blocks * threads; ++number) {
      const Wait wait = machine.threads[number].wait;
      if (wait != Wait::left) return fail("thread %u waits at %s for ever", number % threads, name_of(wait));
    }
  }
}

void free_arrays(Block& block) {
  for (SharedArray& array : block.arrays) std::free(array.data);
  std::free(block.dynamic.data);
  block.arrays.clear();
  block.dynamic = {nullptr, nullptr, 0};
}

}  // namespace

int lane() { return static_cast<int>(machine.running_number % machine.threads_per_block % kLanes); }

void block_barrier() {
  Block& block = block_of_running();
  char* place = &block.barrier[block.phase];
  sanitizer_release(place);
  wait_for(Wait::block_barrier);
  sanitizer_acquire(place);
}

int block_or(bool predicate) {
  Thread& thread = *machine.running;
  thread.predicate = predicate;
  block_barrier();
  return static_cast<int>(thread.value);
}

void cluster_barrier() {
  char* place = &machine.cluster_barrier[machine.cluster_phase];
  sanitizer_release(place);
  wait_for(Wait::cluster_barrier);
  sanitizer_acquire(place);
}

void warp_barrier(unsigned mask) {
  WarpMarks& marks = warp_of_running();
  char* place = &marks.barrier[marks.phase];
  sanitizer_release(place);
  machine.running->mask = mask;
  wait_for(Wait::warp_barrier);
  sanitizer_acquire(place);
}

// Shuffles and votes carry values, and order nothing else.
uint64_t exchange(unsigned mask, uint64_t value, int source_lane) {
  Thread& thread = *machine.running;
  thread.mask = mask;
  thread.value = value;
  thread.source = source_lane;
  wait_for(Wait::exchange);
  return thread.value;
}

unsigned ballot(unsigned mask, bool predicate) {
  Thread& thread = *machine.running;
  thread.mask = mask;
  thread.predicate = predicate;
  wait_for(Wait::ballot);
  thread.predicate = false;
  return static_cast<unsigned>(thread.value);
}

unsigned cluster_rank() { return machine.running_number / machine.threads_per_block; }
unsigned cluster_size() { return static_cast<unsigned>(machine.blocks.size()); }

void* shared(const void* key, size_t bytes, size_t alignment) {
  Block& block = block_of_running();
  for (const SharedArray& array : block.arrays) {
    if (array.key == key) return array.data;
  }
  block.arrays.push_back({key, new_array(bytes, alignment), bytes});
  return block.arrays.back().data;
}

void* shared_of(const void* key, unsigned rank) {
  if (rank < machine.blocks.size()) {
    for (const SharedArray& array : machine.blocks[rank].arrays) {
      if (array.key == key) return array.data;
    }
  }
  fail("block %u of the cluster has no such shared array", rank);
  wait_for(Wait::cluster_barrier);  // never goes on
  return nullptr;
}

void* dynamic_shared() { return block_of_running().dynamic.data; }

const char* run(Entry entry, const void* args, const Grid& grid, const Schedule& schedule) {
  machine.failed = false;
  machine.entry = entry;
  machine.args = args;
  machine.order = schedule.order;
  machine.random.seed(schedule.seed);
  machine.threads_per_block = grid.threads;
  block_size = {grid.threads, 1, 1};
  grid_size = {grid.blocks, 1, 1};
  const unsigned threads = grid.threads * grid.cluster;
  machine.threads.resize(std::max<size_t>(machine.threads.size(), threads));
  while (machine.threads.size() > threads) machine.threads.pop_back();
  machine.blocks.resize(grid.cluster);
  machine.warps.assign(grid.cluster * warps_per_block(), WarpMarks{});

  for (const unsigned cluster : ordered(grid.blocks / grid.cluster)) {
    for (unsigned i = 0; i < grid.cluster; ++i) {
      Block& block = machine.blocks[i];
      block.number = cluster * grid.cluster + i;
      block.phase = 0;
      block.dynamic = {nullptr, new_array(grid.shared_bytes, 16), grid.shared_bytes};
    }
    machine.cluster_phase = 0;
    for (Thread& thread : machine.threads) {
      thread.wait = Wait::none;
      if (!thread.fiber.start(body)) fail("no memory for the stacks of %u threads", threads);
    }
    // Blocks follow each other: what one wrote, the next may read.
    sanitizer_acquire(&machine.end);
    sanitizer_release(&machine.start);
    if (!machine.failed) run_cluster();
    for (Block& block : machine.blocks) free_arrays(block);
    if (machine.failed) break;
  }
  sanitizer_acquire(&machine.end);
  return machine.failed ? machine.problem : nullptr;
}

}  // namespace emulator
