// Included once per ISA, with PREFGRAD_ISA naming it: compiles every kernel of kernels/ops.h into that namespace and lists
// them. The list has the same order on every ISA.
#include "cpu_isa.h"
#define PREFGRAD_CPU 1
#include "../kernels/ops.h"

#define PREFGRAD_TEXT_(x) #x
#define PREFGRAD_TEXT(x) PREFGRAD_TEXT_(x)
#define PREFGRAD_JOIN_(a, b) a##b
#define PREFGRAD_JOIN(a, b) PREFGRAD_JOIN_(a, b)

namespace prefgrad {
namespace PREFGRAD_ISA {

template <typename Args, void (*kernel)(const Args&, int64_t, int64_t, int)>
void untyped(const void* args, int64_t begin, int64_t end, int worker) {
  kernel(*static_cast<const Args*>(args), begin, end, worker);
}

#define PREFGRAD_ENTRY(op, pass, dtype, Args, kernel) \
  {op, pass, dtype, Layout<Args>::words, Layout<Args>::pointers, untyped<Args, kernel>},
static const KernelEntry entries[] = {PREFGRAD_PASSES(PREFGRAD_ENTRY)};

}  // namespace PREFGRAD_ISA

KernelList PREFGRAD_JOIN(kernels_, PREFGRAD_ISA)() {
  return {PREFGRAD_TEXT(PREFGRAD_ISA), PREFGRAD_ISA::entries, sizeof(PREFGRAD_ISA::entries) / sizeof(KernelEntry)};
}

}  // namespace prefgrad
