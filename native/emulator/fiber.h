// A stack of its own, entered and left like a function: what a CUDA thread is here. Switching saves the registers that a call
// preserves and nothing else (no system call). The sanitizers are told of every switch.
#pragma once
#include <cstddef>

namespace emulator {

class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes the next resume() start `body`, which must end with suspend() and never return. False when there is no memory.
  bool start(void (*body)());
  // From the outside: runs the fiber until it suspends itself.
  void resume();
  // From the inside.
  void suspend();

 private:
  void* stack_ = nullptr;
  void* context_ = nullptr;
  void* outside_ = nullptr;
  void* sanitizer_fiber_ = nullptr;  // ThreadSanitizer's
  void* sanitizer_outside_ = nullptr;
};

// ThreadSanitizer: what happened before release(p) is visible after acquire(p). Nothing without it.
void sanitizer_release(void* p);
void sanitizer_acquire(void* p);

}  // namespace emulator
