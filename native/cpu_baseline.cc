#define PREFGRAD_ISA baseline
#include "cpu_kernels.h"
