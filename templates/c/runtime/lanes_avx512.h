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

INLINE vi nibbles(vi sum, const uint8_t *w, vi first, vi second)
{
    const vi mask = _mm512_set1_epi8(15), both = _mm512_loadu_si512(w);
    sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(both, mask), first);
    return _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask), second);
}
/* Sums stay in registers from group to group. */
#define GROUP_Q4
INLINE void group_q4(const uint8_t *w, const int8_t *x, const uint16_t *scale,
                     const uint16_t *least, float sum, vf *y)
{
    vi a = _mm512_setzero_si512(), b = a, c = a, d = a;
    const vf all = vset(sum);
    for (int s = 0; s < 4; s++, w += 256, x += 8) {
        const vi first = four(x), second = four(x + 4);
        a = nibbles(a, w, first, second);
        b = nibbles(b, w + 64, first, second);
        c = nibbles(c, w + 128, first, second);
        d = nibbles(d, w + 192, first, second);
    }
    y[0] = with_group(y[0], vfloat(a), scale, all, least);
    y[1] = with_group(y[1], vfloat(b), scale + 16, all, least + 16);
    y[2] = with_group(y[2], vfloat(c), scale + 32, all, least + 32);
    y[3] = with_group(y[3], vfloat(d), scale + 48, all, least + 48);
}

#include "sixteen.h"
