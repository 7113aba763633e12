/* One lane, and no special instructions: the reference of the other layers. */

#define WIDE 1
#include "layer_begin.h"
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

typedef float vf;
enum { OFFSET = 0 };

INLINE vf vload(const float *p) { return *p; }
INLINE vf vload_int(const int32_t *p) { return (float)*p; }
INLINE vf vload_f16(const uint16_t *p) { return from_half(*p); }
INLINE void vstore(float *p, vf a) { *p = a; }
INLINE vf vset(float x) { return x; }
INLINE vf vadd(vf a, vf b) { return a + b; }
INLINE vf vsub(vf a, vf b) { return a - b; }
INLINE vf vmul(vf a, vf b) { return a * b; }
INLINE vf vdiv(vf a, vf b) { return a / b; }
INLINE vf vmax(vf a, vf b) { return a > b ? a : b; }
INLINE vf vmin(vf a, vf b) { return a < b ? a : b; }
INLINE vf vabs(vf a) { return of_bits(bits_of(a) & 0x7fffffffu); }
INLINE vf vfirst(vf a, int n) { return n ? a : 0.0f; }
INLINE vf vsqrt(vf a)
{
#if defined(__SSE__)
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a)));
#else
    return crystal_root(a);
#endif
}

/* 2^n, n = the integer in the low bits of ``shifted``, -126 to 127 */
INLINE vf vpower(vf shifted) { return of_bits((bits_of(shifted) + 127u) << 23); }

/* The integer in the low bits of a lane, as 128 high + low, low from -64 to 63. */
INLINE void vdigits(int8_t *high, int8_t *low, vf a) { split_digit(high, low, a); }

/* Sixteen sums, one for each lane that a vector would have; then those 8 apart, 4, 2, 1. */
static float vfold(float *sums)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}
static float total(const float *x, int n)
{
    float sums[16] = { 0 };
    for (int i = 0; i < n; i++)
        sums[i & 15] += x[i];
    return vfold(sums);
}
static float total_squares(const float *x, float mean, int n)
{
    float sums[16] = { 0 };
    for (int i = 0; i < n; i++)
        sums[i & 15] += (x[i] - mean) * (x[i] - mean);
    return vfold(sums);
}
static void vfill(int32_t *p, int32_t x)
{
    for (int i = 0; i < 64; i++)
        p[i] = x;
}
INLINE float vtop(vf a) { return a; }

static void panel_f32(const uint8_t *w, const float *x, int n, int what, float *sums)
{
    const float *p = (const float *)(const void *)w;
    for (int k = 0; k < n; k++)
        for (int i = 0; i < 64; i++, p++)
            sums[i] = meet(sums[i], *p, x[k], what);
}
static void panel_integers(const uint8_t *w, const float *x, int n, int size, int what,
                           const float *scale, float zero, float *sums)
{
    for (int k = 0; k < n; k++)
        for (int i = 0; i < 64; i++) {
            const uint8_t *p = w + (k * size / 4 * 64 + i) * 4 + k * size % 4;
            const float q = size == 1 ? (int8_t)*p : (float)(int16_t)(p[0] | p[1] << 8);
            sums[i] = meet(sums[i], what == DOT ? q : q * scale[i] + zero, x[k], what);
        }
}
static void panel_s8(
    const uint8_t *w, const digits *x, int at, int steps, int32_t *high, int32_t *low)
{
    for (int end = at + 4 * steps; at < end; at += 4)
        for (int i = 0; i < 64; i++)
            for (int b = 0; b < 4; b++, w++) {
                high[i] += (int8_t)*w * x->high[at + b];
                low[i] += (int8_t)*w * x->low[at + b];
            }
}
static void panel_q4(const uint8_t *w, const int8_t *x, int32_t *sums)
{
    for (int i = 0; i < 64; i++, w += 4) {
        int32_t sum = 0;
        for (int s = 0; s < 4; s++)
            for (int b = 0; b < 4; b++) {
                const int both = w[256 * s + b];
                sum += (both & 15) * x[8 * s + b] + (both >> 4) * x[8 * s + 4 + b];
            }
        sums[i] = sum;
    }
}
