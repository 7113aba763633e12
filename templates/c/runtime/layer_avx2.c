/* AVX2 and F16C, which no processor has without the other. */

#include "model.h"

#if defined(CRYSTAL_X86)

#include "lanes_avx2.h"

#include "kernels.h"

#include "forward.h"

static int32_t usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") != 0;
}

const layer crystal_layer_avx2 = { "avx2", usable, forward, largest, weights };
#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
