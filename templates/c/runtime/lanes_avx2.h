/* Sixteen lanes in two AVX2 registers. */

#include <immintrin.h> /* before the pragmas, which would cost each of its functions time */

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,f16c")
#endif
#include "layer_begin.h"

typedef struct { __m256 a, b; } vf;
typedef struct { __m256i a, b; } vi;
enum { OFFSET = 0 };

#define BOTH(name) const vf y = { _mm256_##name(a.a, b.a), _mm256_##name(a.b, b.b) }; return y
INLINE vf pair(__m256 a, __m256 b) { const vf y = { a, b }; return y; }
INLINE __m128i half_load(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE __m256i full_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE vf vload(const float *p) { return pair(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
INLINE vf vload_f16(const uint16_t *p)
{
    return pair(_mm256_cvtph_ps(half_load(p)), _mm256_cvtph_ps(half_load(p + 8)));
}
INLINE void vstore(float *p, vf a) { _mm256_storeu_ps(p, a.a); _mm256_storeu_ps(p + 8, a.b); }
INLINE vf vfloat(vi a) { return pair(_mm256_cvtepi32_ps(a.a), _mm256_cvtepi32_ps(a.b)); }
INLINE vi vload_i(const int32_t *p) { return (vi){ full_load(p), full_load(p + 8) }; }
INLINE void vstore_i(int32_t *p, vi a) { 
    _mm256_storeu_si256((__m256i *)(void *)p, a.a);
    _mm256_storeu_si256((__m256i *)(void *)(p + 8), a.b);
 }
INLINE vf vload_int(const int32_t *p) { return vfloat(vload_i(p)); }
INLINE void vfill(int32_t *p, int32_t x)
{
    for (int i = 0; i < 64; i += 16)
        vstore_i(p + i, (vi){ _mm256_set1_epi32(x), _mm256_set1_epi32(x) });
}
INLINE vf vset(float x) { return pair(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
INLINE vf vadd(vf a, vf b) { BOTH(add_ps); }
INLINE vf vsub(vf a, vf b) { BOTH(sub_ps); }
INLINE vf vmul(vf a, vf b) { BOTH(mul_ps); }
INLINE vf vdiv(vf a, vf b) { BOTH(div_ps); }
INLINE vf vmax(vf a, vf b) { BOTH(max_ps); }
INLINE vf vmin(vf a, vf b) { BOTH(min_ps); }
INLINE vf vabs(vf a)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return pair(_mm256_andnot_ps(sign, a.a), _mm256_andnot_ps(sign, a.b));
}
INLINE vf vsqrt(vf a) { return pair(_mm256_sqrt_ps(a.a), _mm256_sqrt_ps(a.b)); }
INLINE vf vfirst(vf a, int n)
{
    const __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i low = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), at);
    const __m256i high = _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), at);
    return pair(_mm256_and_ps(a.a, _mm256_castsi256_ps(low)),
                _mm256_and_ps(a.b, _mm256_castsi256_ps(high)));
}
INLINE __m256 power8(__m256 a)
{
    const __m256i n = _mm256_add_epi32(_mm256_castps_si256(a), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(n, 23));
}
INLINE vf vpower(vf a) { return pair(power8(a.a), power8(a.b)); }
INLINE void vdigits(int8_t *high, int8_t *low, vf a)
{
    float lanes[16];
    vstore(lanes, a);
    for (int i = 0; i < 16; i++)
        split_digit(high + i, low + i, lanes[i]);
}
INLINE float vsum(vf a)
{
    const __m256 b = _mm256_add_ps(a.a, a.b);
    const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
INLINE float vtop(vf a)
{
    const __m256 b = _mm256_max_ps(a.a, a.b);
    const __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}

INLINE vf vsigned(const uint8_t *p, int left, int right)
{
    const __m128i up = _mm_cvtsi32_si128(left), down = _mm_cvtsi32_si128(right);
    const __m256i a = _mm256_sll_epi32(full_load(p), up), b = _mm256_sll_epi32(full_load(p + 32), up);
    return pair(_mm256_cvtepi32_ps(_mm256_sra_epi32(a, down)),
                _mm256_cvtepi32_ps(_mm256_sra_epi32(b, down)));
}

/* Four values of x as int16, for every row: bytes of weights widen to int16, which is exact. */
INLINE __m256i four16(const int8_t *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
}
/* sums [16] += the sums of pairs of four accumulators, rows in order. */
INLINE void add_pairs(int32_t *sums, __m256i a, __m256i b, __m256i c, __m256i d)
{
    const __m256i low = _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8);
    const __m256i high = _mm256_permute4x64_epi64(_mm256_hadd_epi32(c, d), 0xd8);
    const vi old = vload_i(sums);
    vstore_i(sums, (vi){ _mm256_add_epi32(old.a, low), _mm256_add_epi32(old.b, high) });
}
#define MADD(sum, bytes, x) _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepi8_epi16(bytes), x))

/* Sixteen rows of a panel: a quarter of every step. */
static void strip_s8(const uint8_t *w, const int8_t *x, int steps, int32_t *sums)
{
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (int s = 0; s < steps; s++, w += 256, x += 4) {
        const __m256i four = four16(x);
        a = MADD(a, half_load(w), four);
        b = MADD(b, half_load(w + 16), four);
        c = MADD(c, half_load(w + 32), four);
        d = MADD(d, half_load(w + 48), four);
    }
    add_pairs(sums, a, b, c, d);
}
static void panel_s8(
    const uint8_t *w, const digits *x, int at, int steps, int32_t *high, int32_t *low)
{
    for (int i = 0; i < 64; i += 16) {
        strip_s8(w + 4 * i, x->high + at, steps, high + i);
        strip_s8(w + 4 * i, x->low + at, steps, low + i);
    }
}
INLINE __m256i nibbles(__m256i sum, const uint8_t *w, __m256i first, __m256i second)
{
    const __m128i low = _mm_set1_epi8(15), both = half_load(w);
    const __m256i some = MADD(sum, _mm_and_si128(both, low), first);
    return MADD(some, _mm_and_si128(_mm_srli_epi16(both, 4), low), second);
}
static void strip_q4(const uint8_t *w, const int8_t *x, int32_t *sums)
{
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (int s = 0; s < 4; s++, w += 256, x += 8) {
        const __m256i first = four16(x), second = four16(x + 4);
        a = nibbles(a, w, first, second);
        b = nibbles(b, w + 16, first, second);
        c = nibbles(c, w + 32, first, second);
        d = nibbles(d, w + 48, first, second);
    }
    add_pairs(sums, a, b, c, d);
}
static void panel_q4(const uint8_t *w, const int8_t *x, int32_t *sums)
{
    memset(sums, 0, 64 * sizeof *sums);
    for (int i = 0; i < 64; i += 16)
        strip_q4(w + 4 * i, x, sums + i);
}

#include "sixteen.h"
