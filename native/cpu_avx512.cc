#define PREFGRAD_ISA avx512
#include "cpu_kernels.h"
