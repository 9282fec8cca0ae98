// The native list: per op its kernels' header and one row per pass and element type. The addon reports this list at load,
// and it must agree with lib/spec. Rows: op, pass, dtype, argument struct, kernel (in the namespace of the ISA).
#pragma once

#if defined(PREFGRAD_CPU)
#include "bradley_terry_loss/bradley_terry_loss.cpu.h"
#endif

// clang-format off
#define PREFGRAD_PASSES(PASS)                                                                       \
  PASS("bradleyTerryLoss", "terms", "f32", BradleyTerryLoss, bradley_terry_loss_terms)                \
  PASS("bradleyTerryLoss", "finish", "f32", BradleyTerryLoss, bradley_terry_loss_finish)
// clang-format on
