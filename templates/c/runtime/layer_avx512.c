/* AVX-512 with VNNI. */

#include "model.h"

#if defined(CRYSTAL_X86)

#include "lanes_avx512.h"

#include "kernels.h"

#include "forward.h"

static int32_t usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
           && __builtin_cpu_supports("avx512vnni");
}

const layer crystal_layer_avx512 = { "avx512", usable, forward, largest, weights };
#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
