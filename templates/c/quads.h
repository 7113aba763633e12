/* ---- quads: four int8 products into each int32 lane, exact in every layer ---- */

#if defined(__GNUC__) /* quads are views of byte arrays, which a compiler must not think apart */
typedef struct { int8_t b[4]; } __attribute__((may_alias)) quad;
typedef int32_t quad_word __attribute__((may_alias, aligned(1)));
#else
typedef struct { int8_t b[4]; } quad; /* four consecutive k of one output, or of the input */
#endif

INLINE const quad *as_quads(const void *p) { return (const quad *)p; }

#if LANES == 16
typedef __m512i vq;
INLINE vq qload(const quad *p) { return _mm512_loadu_si512(p); }
INLINE vq qzero(void) { return _mm512_setzero_si512(); }
INLINE vq qadd(vq a, vq b) { return _mm512_add_epi32(a, b); }
INLINE vq qstart(const int32_t *p) { return _mm512_loadu_si512(p); }
INLINE void qstore(int32_t *p, vq a) { _mm512_storeu_si512(p, a); }
INLINE vq qsplat(const quad *p) { return _mm512_set1_epi32(*(const quad_word *)(const void *)p); }
#elif LANES == 8
typedef __m256i vq;
INLINE vq qload(const quad *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
INLINE vq qzero(void) { return _mm256_setzero_si256(); }
INLINE vq qadd(vq a, vq b) { return _mm256_add_epi32(a, b); }
INLINE vq qstart(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
INLINE void qstore(int32_t *p, vq a) { _mm256_storeu_si256((__m256i *)(void *)p, a); }
INLINE vq qsplat(const quad *p) { return _mm256_set1_epi32(*(const quad_word *)(const void *)p); }
#else
typedef int32_t vq;
INLINE vq qzero(void) { return 0; }
INLINE vq qadd(vq a, vq b) { return a + b; }
INLINE vq qstart(const int32_t *p) { return *p; }
INLINE void qstore(int32_t *p, vq a) { *p = a; }
#endif

INLINE vq qbias(const int32_t *init, int o) { return init ? qstart(init + o) : qzero(); }

#if VNNI
/* vpdpbusd wants an unsigned operand: a signed input has its top bit turned, which adds 128, and
   the start values of that layer have 128 * sum(w) taken off when the network was compiled. */
typedef vq vx;
typedef vq vw;
INLINE vx qinput_u8(const quad *p) { return qsplat(p); }
INLINE vx qinput_s8(const quad *p) { return _mm512_xor_si512(qsplat(p), _mm512_set1_epi8(-128)); }
INLINE vw qweight(const quad *p) { return qload(p); }
#if defined(__clang__)
INLINE vq qstep(vq a, vx x, vw w) { return _mm512_dpbusd_epi32(a, x, w); }
#else
INLINE vq qstep(vq a, vx x, vw w) /* gcc 12 keeps a tile of the intrinsic's sums in memory */
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(a) : "v"(x), "v"(w));
    return a;
}
#endif
#elif LANES == 16
typedef struct { vq even, odd; } vx; /* 16-bit halves: bytes 0 and 2, bytes 1 and 3 */
typedef vx vw;
INLINE vx qsigned(vq q)
{
    const vx x = { _mm512_srai_epi16(_mm512_slli_epi16(q, 8), 8), _mm512_srai_epi16(q, 8) };
    return x;
}
INLINE vx qinput_u8(const quad *p)
{
    const vq q = qsplat(p);
    const vx x = { _mm512_and_si512(q, _mm512_set1_epi16(255)), _mm512_srli_epi16(q, 8) };
    return x;
}
INLINE vx qinput_s8(const quad *p) { return qsigned(qsplat(p)); }
INLINE vw qweight(const quad *p) { return qsigned(qload(p)); }
INLINE vq qstep(vq a, vx x, vw w)
{
    a = _mm512_add_epi32(a, _mm512_madd_epi16(x.even, w.even));
    return _mm512_add_epi32(a, _mm512_madd_epi16(x.odd, w.odd));
}
#elif LANES == 8
typedef struct { vq even, odd; } vx; /* 16-bit halves: bytes 0 and 2, bytes 1 and 3 */
typedef vx vw;
INLINE vx qsigned(vq q)
{
    const vx x = { _mm256_srai_epi16(_mm256_slli_epi16(q, 8), 8), _mm256_srai_epi16(q, 8) };
    return x;
}
INLINE vx qinput_u8(const quad *p)
{
    const vq q = qsplat(p);
    const vx x = { _mm256_and_si256(q, _mm256_set1_epi16(255)), _mm256_srli_epi16(q, 8) };
    return x;
}
INLINE vx qinput_s8(const quad *p) { return qsigned(qsplat(p)); }
INLINE vw qweight(const quad *p) { return qsigned(qload(p)); }
INLINE vq qstep(vq a, vx x, vw w)
{
    a = _mm256_add_epi32(a, _mm256_madd_epi16(x.even, w.even));
    return _mm256_add_epi32(a, _mm256_madd_epi16(x.odd, w.odd));
}
#elif defined(__ARM_FEATURE_DSP) && defined(__GNUC__)
#include <arm_acle.h>
typedef struct { int16x2_t even, odd; } vx; /* bytes 0 and 2, bytes 1 and 3 */
typedef vx vw;
INLINE uint32_t qword(const quad *p) { return (uint32_t)*(const quad_word *)(const void *)p; }
INLINE uint32_t qturn(uint32_t q) { return q >> 8 | q << 24; }
INLINE vx qinput_s8(const quad *p)
{
    const uint32_t q = qword(p);
    const vx x = { __sxtb16((int8x4_t)q), __sxtb16((int8x4_t)qturn(q)) };
    return x;
}
INLINE vx qinput_u8(const quad *p)
{
    const uint32_t q = qword(p);
    const vx x = { (int16x2_t)__uxtb16(q), (int16x2_t)__uxtb16(qturn(q)) };
    return x;
}
INLINE vw qweight(const quad *p) { return qinput_s8(p); }
INLINE vq qstep(vq a, vx x, vw w) { return __smlad(x.odd, w.odd, __smlad(x.even, w.even, a)); }
#else
typedef struct { int32_t b[4]; } vx;
typedef vx vw;
INLINE vx qinput_s8(const quad *p)
{
    const vx x = { { p->b[0], p->b[1], p->b[2], p->b[3] } };
    return x;
}
INLINE vx qinput_u8(const quad *p)
{
    const vx x = { { (uint8_t)p->b[0], (uint8_t)p->b[1], (uint8_t)p->b[2], (uint8_t)p->b[3] } };
    return x;
}
INLINE vw qweight(const quad *p) { return qinput_s8(p); }
INLINE vq qstep(vq a, vx x, vw w)
{
    return a + (x.b[0] * w.b[0] + x.b[1] * w.b[1]) + (x.b[2] * w.b[2] + x.b[3] * w.b[3]);
}
#endif
