/* Sixteen lanes without vector instructions: the reference of the other layers. */

#define LAYER_SCALAR
#include "layer_begin.h"
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

typedef struct { float v[16]; } vf;
typedef struct { int32_t v[16]; } vi;
enum { OFFSET = 0 };

#define EACH for (int i = 0; i < 16; i++)
INLINE vf vload(const float *p) { vf a; EACH a.v[i] = p[i]; return a; }
INLINE vf vload_f16(const uint16_t *p) { vf a; EACH a.v[i] = from_half(p[i]); return a; }
INLINE void vstore(float *p, vf a) { EACH p[i] = a.v[i]; }
INLINE vi vseti(int32_t x) { vi a; EACH a.v[i] = x; return a; }
INLINE vf vset(float x) { vf a; EACH a.v[i] = x; return a; }
INLINE vf vadd(vf a, vf b) { EACH a.v[i] += b.v[i]; return a; }
INLINE vf vsub(vf a, vf b) { EACH a.v[i] -= b.v[i]; return a; }
INLINE vf vmul(vf a, vf b) { EACH a.v[i] *= b.v[i]; return a; }
INLINE vf vdiv(vf a, vf b) { EACH a.v[i] /= b.v[i]; return a; }
INLINE vf vmax(vf a, vf b) { EACH a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return a; }
INLINE vf vmin(vf a, vf b) { EACH a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i]; return a; }
INLINE vf vabs(vf a) { EACH a.v[i] = of_bits(bits_of(a.v[i]) & 0x7fffffffu); return a; }
INLINE vf vfirst(vf a, int n) { EACH a.v[i] = i < n ? a.v[i] : 0.0f; return a; }
INLINE vf vfloat(vi a) { vf b; EACH b.v[i] = (float)a.v[i]; return b; }

INLINE float root(float a)
{
#if defined(__SSE__)
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a)));
#else
    return crystal_root(a);
#endif
}
INLINE vf vsqrt(vf a) { EACH a.v[i] = root(a.v[i]); return a; }

/* 2^n, n = the integer in the low bits of ``shifted``, -126 to 127 */
INLINE vf vpower(vf a) { EACH a.v[i] = of_bits((bits_of(a.v[i]) + 127u) << 23); return a; }

/* The integer in the low bits of every lane, as 128 high + low, low from -64 to 63. */
INLINE void vdigits(int8_t *high, int8_t *low, vf a) { split_digits(high, low, a.v); }

/* Lanes 8 apart, then 4, 2, 1: the one order of every sum over lanes. */
INLINE float vsum(vf a)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            a.v[i] += a.v[i + half];
    return a.v[0];
}
INLINE float vtop(vf a)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            a.v[i] = a.v[i] > a.v[i + half] ? a.v[i] : a.v[i + half];
    return a.v[0];
}

/* Bits ``right`` and up of each 32-bit word shifted ``left``, sign extended. */
INLINE vf vsigned(const uint8_t *p, int left, int right)
{
    vf a;
    EACH {
        uint32_t word;
        memcpy(&word, p + 4 * i, 4);
        a.v[i] = (float)shift_right((int32_t)(word << left), right);
    }
    return a;
}

/* high, low [64] += panel [steps][64][4] times two rows of x, [4 steps] each. */
INLINE void panel_s8(const uint8_t *w, const digits *x, int at, int steps, vi high[4], vi low[4])
{
    for (int s = 0; s < steps; s++, at += 4)
        for (int part = 0; part < 4; part++)
            EACH for (int b = 0; b < 4; b++, w++) {
                high[part].v[i] += (int8_t)*w * x->high[at + b];
                low[part].v[i] += (int8_t)*w * x->low[at + b];
            }
}

/* The same for a group of nibbles [4][64][4] and x [32]; low halves are four columns, then high. */
INLINE void panel_q4(const uint8_t *w, const digits *x, int at, vi high[4], vi low[4])
{
    for (int s = 0; s < 4; s++, at += 8)
        for (int part = 0; part < 4; part++)
            EACH for (int b = 0; b < 4; b++, w++) {
                high[part].v[i] += (*w & 15) * x->high[at + b] + (*w >> 4) * x->high[at + 4 + b];
                low[part].v[i] += (*w & 15) * x->low[at + b] + (*w >> 4) * x->low[at + 4 + b];
            }
}
