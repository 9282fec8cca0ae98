#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

// Weak: this file is compiled without sanitizers, and linked with and without them.
extern "C" {
__attribute__((weak)) void* __tsan_get_current_fiber(void);
__attribute__((weak)) void* __tsan_create_fiber(unsigned);
__attribute__((weak)) void __tsan_destroy_fiber(void*);
__attribute__((weak)) void __tsan_switch_to_fiber(void*, unsigned);
__attribute__((weak)) void __tsan_acquire(void*);
__attribute__((weak)) void __tsan_release(void*);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void*, size_t);
}

namespace emulator {
namespace {

constexpr size_t kStackBytes = 128 << 10;
// A switch that does not order memory: only real barriers may.
constexpr unsigned kNoSync = 1;

}  // namespace

void sanitizer_release(void* p) {
  if (__tsan_release != nullptr) __tsan_release(p);
}
void sanitizer_acquire(void* p) {
  if (__tsan_acquire != nullptr) __tsan_acquire(p);
}

#if defined(__x86_64__)

// Saves where it is into *from, and goes on at `to`.
extern "C" void prefgrad_switch_stack(void** from, void* to);
asm(R"(
.text
.globl prefgrad_switch_stack
.hidden prefgrad_switch_stack
.type prefgrad_switch_stack, @function
prefgrad_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size prefgrad_switch_stack, . - prefgrad_switch_stack
)");

static void* first_context(void* stack, void (*body)()) {
  // A function starts with its stack 8 below a multiple of 16, as after a call.
  void** top = reinterpret_cast<void**>(static_cast<char*>(stack) + kStackBytes - 64);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(body);
  for (int registers = 0; registers < 6; ++registers) *--top = nullptr;
  return top;
}
static void switch_to(void** from, void** to) { prefgrad_switch_stack(from, *to); }

#else

static void* first_context(void* stack, void (*body)()) {
  ucontext_t* context = static_cast<ucontext_t*>(stack);  // at the far end of the stack itself
  getcontext(context);
  context->uc_stack.ss_sp = static_cast<char*>(stack) + sizeof(ucontext_t) + 64;
  context->uc_stack.ss_size = kStackBytes - sizeof(ucontext_t) - 128;
  context->uc_link = nullptr;
  makecontext(context, body, 0);
  return context;
}
static void switch_to(void** from, void** to) {
  ucontext_t here;
  *from = &here;
  swapcontext(&here, static_cast<ucontext_t*>(*to));
}

#endif

Fiber::~Fiber() {
  if (stack_ != nullptr) munmap(stack_, kStackBytes);
  if (sanitizer_fiber_ != nullptr) __tsan_destroy_fiber(sanitizer_fiber_);
}

bool Fiber::start(void (*body)()) {
  if (stack_ == nullptr) {
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return false;
    stack_ = memory;
    if (__tsan_create_fiber != nullptr) sanitizer_fiber_ = __tsan_create_fiber(0);
  }
  // A fiber that was left in the middle of a block leaves marks of its frames.
  if (__asan_unpoison_memory_region != nullptr) __asan_unpoison_memory_region(stack_, kStackBytes);
  context_ = first_context(stack_, body);
  return true;
}

void Fiber::resume() {
  if (sanitizer_fiber_ != nullptr) {
    sanitizer_outside_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(sanitizer_fiber_, kNoSync);
  }
  switch_to(&outside_, &context_);
}

void Fiber::suspend() {
  if (sanitizer_fiber_ != nullptr) __tsan_switch_to_fiber(sanitizer_outside_, kNoSync);
  switch_to(&context_, &outside_);
}

}  // namespace emulator
