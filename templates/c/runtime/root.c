/* Square root of machines whose instruction the scalar layer does not know. */

#include "model.h"

#include <string.h>

/* Correctly rounded: the integer root of a mantissa of 48 or 49 bits has 25 bits. */
float crystal_root(float a)
{
    uint32_t bits;
    float y;
    memcpy(&bits, &a, 4);
    if (!(a > 0.0f) || bits >= 0x7f800000u)
        return a;
    int32_t exponent = (int32_t)(bits >> 23) - 127;
    uint64_t mantissa = (bits & 0x7fffffu) | (bits >> 23 ? 0x800000u : 0);
    for (exponent += bits >> 23 ? 0 : 1; mantissa < 0x800000u; exponent--)
        mantissa <<= 1;
    const int32_t odd = exponent & 1;
    mantissa <<= 25 + odd;
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 24; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= mantissa)
            root |= bit;
    root = (root + 1) >> 1; /* a root is never half way between two floats */
    bits = (uint32_t)((exponent - odd) / 2 + 127 - 1) << 23;
    bits += (uint32_t)root;
    memcpy(&y, &bits, 4);
    return y;
}
