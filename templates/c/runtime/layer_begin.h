/* What the lanes of every layer need; included after the pragma that opens the instruction set. */

#include "model.h"

#include <string.h>

#if !defined(WIDE)
#define WIDE 16
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
#if WIDE == 1 && defined(__GNUC__)
#define INLINE static inline __attribute__((unused))
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#else
#define INLINE static inline
#endif

INLINE uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}
INLINE float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* Exact in every case that a checked file can hold (finite halves). */
INLINE float from_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    const float small = (float)rest * (1.0f / 16777216.0f);
    const uint32_t bits = rest < 0x400u ? bits_of(small) : (rest << 13) + 0x38000000u;
    return of_bits(sign | bits);
}

/* As if the shift of a negative number were defined. */
INLINE int32_t shift_right(int32_t a, int n)
{
    return a < 0 ? ~(~a >> n) : a >> n;
}

enum { SPAN = 1 << 16, SPANS = 16, SHIFT_BITS = 0x4b400000 };

/* x [n] ~ size * (128 high + low): fourteen bits, so that only the weights' eight are felt. Sums
   of both are kept for each span of columns, which is how long an int32 holds the products. */
typedef struct {
    int8_t *high, *low;
    float size;
    int32_t sum_high[SPANS], sum_low[SPANS];
} digits;

/* The integer in the low bits of ``x``. */
INLINE void split_digit(int8_t *high, int8_t *low, float x)
{
    const int32_t n = (int32_t)(bits_of(x) - (uint32_t)SHIFT_BITS);
    const int32_t h = shift_right((int32_t)((uint32_t)n + 64u), 7);
    *high = (int8_t)((h & 127) - (h & 128));
    *low = (int8_t)((n & 127) - 2 * (n & 64));
}

enum { DOT, L1 }; /* what a row of a matrix sums up: x w, |x - w| */
#define meet(sum, w, x, what) \
    vadd(sum, what == L1 ? vabs(vsub(x, w)) : vmul(x, w))

/* What a group of 32 columns adds: its scale times the integer sum, its minimum times that of x. */
#define with_group(y, dots, scale, sum, least) \
    vadd(vadd(y, vmul(dots, vload_f16(scale))), vmul(sum, vload_f16(least)))
