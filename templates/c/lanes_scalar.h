/* ---- lanes: one float, the reference for the others ---- */

#if LANES == 1
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
typedef float vf;
INLINE vf vload(const float *p) { return *p; }
INLINE void vstore(float *p, vf a) { *p = a; }
INLINE vf vset1(float a) { return a; }
INLINE vf vadd(vf a, vf b) { return a + b; }
INLINE vf vsub(vf a, vf b) { return a - b; }
INLINE vf vmul(vf a, vf b) { return a * b; }
INLINE vf vdiv(vf a, vf b) { return a / b; }
INLINE vf vfma(vf a, vf b, vf c) { return a * b + c; }
INLINE vf vmax(vf a, vf b) { return a > b ? a : b; } /* b where either is NaN */
INLINE vf vmin(vf a, vf b) { return a < b ? a : b; } /* b where either is NaN */
INLINE vf vabs(vf a) { return a < 0.0f ? -a : a; }
INLINE float vsum(vf a) { return a; }
INLINE vf vscale(vf a, vf n, vf shifted) /* a * 2^n in two steps, so that 2^n may be subnormal */
{
    const union { float f; uint32_t u; } bits = { shifted };
    const uint32_t e = bits.u - 0x4b400000u + 256u, h = (e >> 1) & 0xffu, r = (e - h) & 0x1ffu;
    union { uint32_t u; float f; } p, q;
    p.u = (h - 1u) << 23;
    q.u = (r - 1u) << 23;
    (void)n;
    return a * p.f * q.f;
}
INLINE vf vroot(vf a)
{
#if defined(__SSE2__)
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a)));
#elif defined(__ARM_FP) && (__ARM_FP & 4) && defined(__arm__) && defined(__GNUC__)
    vf root;
    __asm__("vsqrt.f32 %0, %1" : "=t"(root) : "t"(a));
    return root;
#elif defined(__aarch64__) && defined(__GNUC__)
    vf root;
    __asm__("fsqrt %s0, %s1" : "=w"(root) : "w"(a));
    return root;
#else
    /* Newton on 1/sqrt of the mantissa scaled to normal range; exact for 0 and infinity. */
    const float up = a < 1.0e-30f ? 16777216.0f : 1.0f, down = a < 1.0e-30f ? 1.0f / 4096.0f : 1.0f;
    union { float f; uint32_t u; } y = { a * up };
    float root;
    if (!(a > 0.0f) || a > 3.4028234e38f)
        return a;
    y.u = 0x1fbd1df5u + (y.u >> 1);
    root = 0.5f * (y.f + a * up / y.f);
    root = 0.5f * (root + a * up / root);
    return 0.5f * (root + a * up / root) * down;
#endif
}
#endif
