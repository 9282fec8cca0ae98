#define PREFGRAD_ISA avx2
#include "cpu_kernels.h"
