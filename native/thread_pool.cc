#include "thread_pool.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace prefgrad {

namespace {

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// Waking a sleeping thread costs tens of microseconds, so that helpers look for the next pass for a moment before they sleep.
constexpr auto kSpin = std::chrono::microseconds(200);

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int worker = 1; worker < threads; ++worker) {
    try {
      helpers_.emplace_back([this, worker] { help(worker); });
    } catch (const std::system_error&) {
      break;
    }
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::run(CpuKernel kernel, const void* args, int64_t items, int64_t chunk) {
  if (helpers_.empty() || items <= chunk) {
    kernel(args, 0, items, 0);
    return;
  }
  kernel_ = kernel;
  args_ = args;
  items_ = items;
  chunk_ = chunk;
  next_.store(0, std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    round_.fetch_add(1);  // odd: helpers may enter
  }
  wake_.notify_all();
  work(0);
  // Whoever has entered must have left before the arguments may go; a helper that still sleeps is not waited for.
  round_.fetch_add(1);
  for (int spins = 0; inside_.load() != 0; ++spins) {
    if (spins < 4096) pause(); else std::this_thread::yield();
  }
}

void ThreadPool::work(int worker) {
  for (;;) {
    const int64_t begin = next_.fetch_add(chunk_, std::memory_order_relaxed);
    if (begin >= items_) return;
    kernel_(args_, begin, std::min(items_, begin + chunk_), worker);
  }
}

void ThreadPool::help(int worker) {
  uint64_t seen = 0;
  const auto is_new = [&](uint64_t round) { return round != seen && round % 2 == 1; };
  for (;;) {
    const auto limit = std::chrono::steady_clock::now() + kSpin;
    while (!is_new(round_.load()) && std::chrono::steady_clock::now() < limit) {
      for (int i = 0; i < 32; ++i) pause();
    }
    uint64_t round = round_.load();
    if (!is_new(round)) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || is_new(round = round_.load()); });
    }
    if (stop_) return;
    seen = round;
    // Either the round is still open after this, or the caller sees that somebody is inside.
    inside_.fetch_add(1);
    if (round_.load() == round) work(worker);
    inside_.fetch_sub(1);
  }
}

}  // namespace prefgrad
