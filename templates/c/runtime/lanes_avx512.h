/* Sixteen lanes in one AVX-512 register, int8 products by VNNI. */

#include <immintrin.h> /* before the pragmas, which would cost each of its functions time */

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC optimize("O2") /* also in the smallest program: here the time goes */
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif
#include "layer_begin.h"

typedef __m512 vf;
typedef __m512i vi;
enum { OFFSET = 128 };
#if defined(__clang__)
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL_4 _Pragma("GCC unroll 4")
#endif

INLINE vf vload(const float *p) { return _mm512_loadu_ps(p); }
INLINE vf vload_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
INLINE void vstore(float *p, vf a) { _mm512_storeu_ps(p, a); }
INLINE vf vfloat(vi a) { return _mm512_cvtepi32_ps(a); }
INLINE vi vload_i(const int32_t *p) { return _mm512_loadu_si512(p); }
INLINE void vstore_i(int32_t *p, vi a) { _mm512_storeu_si512(p, a); }
INLINE vf vload_int(const int32_t *p) { return vfloat(vload_i(p)); }
INLINE void vfill(int32_t *p, int32_t x)
{
    for (int i = 0; i < 64; i += 16)
        vstore_i(p + i, _mm512_set1_epi32(x));
}
INLINE vf vset(float x) { return _mm512_set1_ps(x); }
INLINE vf vadd(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf vsub(vf a, vf b) { return _mm512_sub_ps(a, b); }
INLINE vf vmul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf vdiv(vf a, vf b) { return _mm512_div_ps(a, b); }
INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); }
INLINE vf vabs(vf a) { return _mm512_abs_ps(a); }
INLINE vf vsqrt(vf a) { return _mm512_sqrt_ps(a); }
INLINE vf vfirst(vf a, int n) { return _mm512_maskz_mov_ps((__mmask16)((1u << n) - 1u), a); }
INLINE vf vpower(vf a)
{
    const __m512i n = _mm512_add_epi32(_mm512_castps_si512(a), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(n, 23));
}
INLINE void vdigits(int8_t *high, int8_t *low, vf a)
{
    const vi n = _mm512_sub_epi32(_mm512_castps_si512(a), _mm512_set1_epi32(SHIFT_BITS));
    const vi h = _mm512_srai_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(64)), 7);
    const vi l = _mm512_sub_epi32(n, _mm512_slli_epi32(h, 7));
    _mm_storeu_si128((__m128i *)(void *)high, _mm512_cvtepi32_epi8(h));
    _mm_storeu_si128((__m128i *)(void *)low, _mm512_cvtepi32_epi8(l));
}
INLINE float vsum(vf a)
{
    const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
INLINE float vtop(vf a)
{
    const __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}

INLINE vf vsigned(const uint8_t *p, int left, int right)
{
    const vi a = _mm512_sll_epi32(_mm512_loadu_si512(p), _mm_cvtsi32_si128(left));
    return _mm512_cvtepi32_ps(_mm512_sra_epi32(a, _mm_cvtsi32_si128(right)));
}

/* VNNI wants one unsigned side: weights + 128; OFFSET times the sum of x is taken off elsewhere. */
INLINE vi plus128(const uint8_t *w)
{
    return _mm512_xor_si512(_mm512_loadu_si512(w), _mm512_set1_epi8((char)0x80));
}
INLINE vi four(const int8_t *x)
{
    int32_t word;
    memcpy(&word, x, 4);
    return _mm512_set1_epi32(word);
}
/* The sum of x [n]; zero up to the next multiple of 64. */
#define SUM_DIGITS sum_digits
INLINE int32_t sum_digits(const int8_t *x, int n)
{
    vi sum = _mm512_setzero_si512();
    for (int i = 0; i < n; i += 64)
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), _mm512_loadu_si512(x + i));
    return _mm512_reduce_add_epi32(sum);
}
#define ADD_DOTS(i, w) \
    const vi w##i = plus128(w + 64 * i); \
    h##i = _mm512_dpbusd_epi32(h##i, w##i, high4); \
    l##i = _mm512_dpbusd_epi32(l##i, w##i, low4)
INLINE void panel_s8(
    const uint8_t *w, const digits *x, int at, int steps, int32_t *high, int32_t *low)
{
    vi h0 = vload_i(high), h1 = vload_i(high + 16);
    vi h2 = vload_i(high + 32), h3 = vload_i(high + 48);
    vi l0 = vload_i(low), l1 = vload_i(low + 16), l2 = vload_i(low + 32), l3 = vload_i(low + 48);
    for (int s = 0; s < steps; s++, w += 256, at += 4) {
        const vi high4 = four(x->high + at), low4 = four(x->low + at);
        ADD_DOTS(0, w);
        ADD_DOTS(1, w);
        ADD_DOTS(2, w);
        ADD_DOTS(3, w);
    }
    vstore_i(high, h0), vstore_i(high + 16, h1);
    vstore_i(high + 32, h2), vstore_i(high + 48, h3);
    vstore_i(low, l0), vstore_i(low + 16, l1);
    vstore_i(low + 32, l2), vstore_i(low + 48, l3);
}

/* y [64] = a whole panel in one span of columns, times ``scales`` where there are. */
#define DONE(i) \
    vf y##i = vmul(vadd(vmul(vfloat(h##i), vset(128.0f)), vfloat(l##i)), vset(x->size)); \
    vstore(y + 16 * i, scales ? vmul(y##i, vload(scales + 16 * i)) : y##i)
#define WHOLE_S8
static void whole_s8(
    const uint8_t *w, const digits *x, int steps, const float *scales, float *y)
{
    const int8_t *high = x->high, *low = x->low;
    vi h0 = _mm512_set1_epi32(-OFFSET * x->sum_high[0]), h1 = h0, h2 = h0, h3 = h0;
    vi l0 = _mm512_set1_epi32(-OFFSET * x->sum_low[0]), l1 = l0, l2 = l0, l3 = l0;
    for (int s = 0; s < steps; s++, w += 256, high += 4, low += 4) {
        const vi high4 = four(high), low4 = four(low);
        ADD_DOTS(0, w);
        ADD_DOTS(1, w);
        ADD_DOTS(2, w);
        ADD_DOTS(3, w);
    }
    DONE(0);
    DONE(1);
    DONE(2);
    DONE(3);
}

/* The second nibbles stay where they are, as sixteen times their value. */
#define ADD_NIBBLES(i) \
    const vi w##i = _mm512_loadu_si512(w + 64 * i); \
    l##i = _mm512_dpbusd_epi32(l##i, _mm512_and_si512(w##i, low), first); \
    h##i = _mm512_dpbusd_epi32(h##i, _mm512_andnot_si512(low, w##i), second)
#define ADD_GROUP(i) \
    y##i = with_group(y##i, vfloat(_mm512_add_epi32(l##i, _mm512_srai_epi32(h##i, 4))), \
                      scale + 16 * i, sum, least + 16 * i)
#define GROUPS_Q4
static void groups_q4(const uint8_t *w, const int8_t *x, const uint16_t *scale,
                      const uint16_t *least, const float *sums, int groups, float size, float *y)
{
    const vi low = _mm512_set1_epi8(15), none = _mm512_setzero_si512();
    vf y0 = vload(y), y1 = vload(y + 16), y2 = vload(y + 32), y3 = vload(y + 48);
    for (int g = 0; g < groups; g++, scale += 64, least += 64) {
        const vf sum = vset(sums[g]);
        vi l0 = none, l1 = none, l2 = none, l3 = none, h0 = none, h1 = none, h2 = none, h3 = none;
        UNROLL_4
        for (int s = 0; s < 4; s++, w += 256, x += 8) {
            const vi first = four(x), second = four(x + 4);
            ADD_NIBBLES(0);
            ADD_NIBBLES(1);
            ADD_NIBBLES(2);
            ADD_NIBBLES(3);
        }
        ADD_GROUP(0);
        ADD_GROUP(1);
        ADD_GROUP(2);
        ADD_GROUP(3);
    }
    const vf all = vset(size);
    vstore(y, vmul(y0, all)), vstore(y + 16, vmul(y1, all));
    vstore(y + 32, vmul(y2, all)), vstore(y + 48, vmul(y3, all));
}

#include "sixteen.h"
