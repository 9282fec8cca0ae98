// A fixed set of threads that share out the work items of one pass at a time. Which thread takes which items changes from
// run to run; kernels are written so that results do not.
#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "../kernels/common/args.h"

namespace prefgrad {

class ThreadPool {
 public:
  // `threads` counts the caller: 1 starts none. Fewer are started when the system refuses more.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }

  // Runs kernel(args, ...) over all `items`, `chunk` at a time; returns when every item is done.
  void run(CpuKernel kernel, const void* args, int64_t items, int64_t chunk);

 private:
  void help(int worker);
  void work(int worker);

  std::vector<std::thread> helpers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> round_{0};  // odd while a pass runs
  std::atomic<int64_t> next_{0};
  std::atomic<int> inside_{0};  // helpers that may look at the pass
  std::atomic<bool> stop_{false};
  CpuKernel kernel_ = nullptr;
  const void* args_ = nullptr;
  int64_t items_ = 0;
  int64_t chunk_ = 1;
};

}  // namespace prefgrad
