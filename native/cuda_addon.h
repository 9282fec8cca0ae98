// The CUDA half of the addon: what lib/backends/cuda.ts calls.
#pragma once
#include <napi.h>

namespace prefgrad {

Napi::Object cuda_exports(Napi::Env env);

}  // namespace prefgrad
