// How a pass over flat arrays is cut into blocks.
#pragma once
#include "launch.h"

namespace prefgrad {

constexpr int kElementThreads = 256;
constexpr int kElementRun = 8;  // elements of each thread

}  // namespace prefgrad
