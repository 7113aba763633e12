/* A CUDA device made of fibers: g++ -std=c++17 -x c++ -include shim.h kernel.cu

   Every CUDA thread is a fiber, so one ordinary process runs a kernel with its barriers, shuffles and
   shared memory, under AddressSanitizer and UndefinedBehaviorSanitizer if wished. It checks what a
   kernel means, not how fast it is, nor a GPU's rounding of exp.

   The same .cu goes through nvcc. What differs between the two is written with these macros:
     CRYSTAL_LAUNCH(kernel, grid, block, shared, stream, arguments...)
     CRYSTAL_LAUNCH_TOGETHER(...)       the same; all blocks are resident (a cooperative launch)
     CRYSTAL_DYNAMIC_SHARED(type, name) the launch's dynamic shared memory
   and CRYSTAL_CPU_SHIM is defined here. A loop that waits for another thread calls __nanosleep.

   CRYSTAL_SHIM_ORDER = forward | reverse | random | random:SEED is the order of threads and blocks.
   A launch in which a thread exits, or waits at another barrier, while others wait says so on stderr
   and gives cudaErrorLaunchFailure, as does a kernel that overflows its stack. */

#ifndef CRYSTAL_CPU_SHIM
#define CRYSTAL_CPU_SHIM 1

#include "shim/types.h"
#include "shim/fiber.h"
#include "shim/grid.h"
#include "shim/schedule.h"
#include "shim/warp.h"
#include "shim/device.h"
#include "shim/mma.h"
#include "shim/host.h"

#endif
