/* The reference: no special instructions. */

#include "model.h"

#include "lanes_scalar.h"

#include "kernels.h"

#include "forward.h"

static int32_t usable(void)
{
    return 1;
}

const layer crystal_layer_scalar = { "scalar", usable, forward, largest, weights };
