/* NEON. */

#include "model.h"

#if defined(CRYSTAL_ARM)

#include "lanes_neon.h"

#include "kernels.h"

#include "forward.h"

static int32_t usable(void)
{
    return 1;
}

const layer crystal_layer_neon = { "neon", usable, forward, largest, weights };

#endif
