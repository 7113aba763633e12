/* Sixteen lanes in four NEON registers; aarch64 has them always. */

#include "layer_begin.h"
#include <arm_neon.h>

typedef struct { float32x4_t v[4]; } vf;
typedef struct { int32x4_t v[4]; } vi;
enum { OFFSET = 0 };

#define FOUR for (int i = 0; i < 4; i++)
INLINE vf vload(const float *p) { vf a; FOUR a.v[i] = vld1q_f32(p + 4 * i); return a; }
INLINE vf vload_f16(const uint16_t *p)
{
    vf a;
    FOUR a.v[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i)));
    return a;
}
INLINE void vstore(float *p, vf a) { FOUR vst1q_f32(p + 4 * i, a.v[i]); }
INLINE vf vfloat(vi a) { vf b; FOUR b.v[i] = vcvtq_f32_s32(a.v[i]); return b; }
INLINE vi vload_i(const int32_t *p) { vi a; FOUR a.v[i] = vld1q_s32(p + 4 * i); return a; }
INLINE void vstore_i(int32_t *p, vi a) { FOUR vst1q_s32(p + 4 * i, a.v[i]); }
INLINE vf vload_int(const int32_t *p) { return vfloat(vload_i(p)); }
INLINE void vfill(int32_t *p, int32_t x)
{
    for (int i = 0; i < 64; i += 4)
        vst1q_s32(p + i, vdupq_n_s32(x));
}
INLINE vf vset(float x) { vf a; FOUR a.v[i] = vdupq_n_f32(x); return a; }
INLINE vf vadd(vf a, vf b) { FOUR a.v[i] = vaddq_f32(a.v[i], b.v[i]); return a; }
INLINE vf vsub(vf a, vf b) { FOUR a.v[i] = vsubq_f32(a.v[i], b.v[i]); return a; }
INLINE vf vmul(vf a, vf b) { FOUR a.v[i] = vmulq_f32(a.v[i], b.v[i]); return a; }
INLINE vf vdiv(vf a, vf b) { FOUR a.v[i] = vdivq_f32(a.v[i], b.v[i]); return a; }
INLINE float32x4_t top4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INLINE vf vmax(vf a, vf b) { FOUR a.v[i] = top4(a.v[i], b.v[i]); return a; }
INLINE vf vmin(vf a, vf b) { FOUR a.v[i] = vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); return a; }
INLINE vf vabs(vf a) { FOUR a.v[i] = vabsq_f32(a.v[i]); return a; }
INLINE vf vsqrt(vf a) { FOUR a.v[i] = vsqrtq_f32(a.v[i]); return a; }
INLINE vf vfirst(vf a, int n)
{
    float lanes[16];
    vstore(lanes, a);
    for (int i = n; i < 16; i++)
        lanes[i] = 0.0f;
    return vload(lanes);
}
INLINE vf vpower(vf a)
{
    FOUR a.v[i] = vreinterpretq_f32_s32(
        vshlq_n_s32(vaddq_s32(vreinterpretq_s32_f32(a.v[i]), vdupq_n_s32(127)), 23));
    return a;
}
INLINE void vdigits(int8_t *high, int8_t *low, vf a)
{
    float lanes[16];
    vstore(lanes, a);
    for (int i = 0; i < 16; i++)
        split_digit(high + i, low + i, lanes[i]);
}
INLINE float vsum(vf a)
{
    const float32x4_t b = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    const float32x2_t c = vadd_f32(vget_low_f32(b), vget_high_f32(b));
    return vget_lane_f32(c, 0) + vget_lane_f32(c, 1);
}
INLINE float vtop(vf a)
{
    const float32x4_t b = top4(top4(a.v[0], a.v[2]), top4(a.v[1], a.v[3]));
    float lanes[4];
    vst1q_f32(lanes, b);
    lanes[0] = lanes[0] > lanes[2] ? lanes[0] : lanes[2];
    lanes[1] = lanes[1] > lanes[3] ? lanes[1] : lanes[3];
    return lanes[0] > lanes[1] ? lanes[0] : lanes[1];
}
INLINE vf vsigned(const uint8_t *p, int left, int right)
{
    vf a;
    FOUR {
        const int32x4_t word = vreinterpretq_s32_u8(vld1q_u8(p + 16 * i));
        const int32x4_t up = vshlq_s32(word, vdupq_n_s32(left));
        a.v[i] = vcvtq_f32_s32(vshlq_s32(up, vdupq_n_s32(-right)));
    }
    return a;
}

/* Four rows of four bytes times x [4]: products are int16, sums of four int32. */
INLINE int32x4_t dot4(int32x4_t sum, int8x16_t w, int8x8_t x)
{
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), x));
    const int32x4_t high = vpaddlq_s16(vmull_s8(vget_high_s8(w), x));
    return vaddq_s32(sum, vpaddq_s32(low, high));
}
INLINE int8x8_t four(const int8_t *x)
{
    int32_t word;
    memcpy(&word, x, 4);
    return vreinterpret_s8_s32(vdup_n_s32(word));
}
static void panel_s8(
    const uint8_t *w, const digits *x, int at, int steps, int32_t *high, int32_t *low)
{
    for (int i = 0; i < 64; i += 4) {
        int32x4_t h = vld1q_s32(high + i), l = vld1q_s32(low + i);
        for (int s = 0; s < steps; s++) {
            const int8x16_t rows = vreinterpretq_s8_u8(vld1q_u8(w + s * 256 + 4 * i));
            h = dot4(h, rows, four(x->high + at + 4 * s));
            l = dot4(l, rows, four(x->low + at + 4 * s));
        }
        vst1q_s32(high + i, h);
        vst1q_s32(low + i, l);
    }
}
static void panel_q4(const uint8_t *w, const int8_t *x, int32_t *sums)
{
    for (int i = 0; i < 64; i += 4) {
        int32x4_t sum = vdupq_n_s32(0);
        for (int s = 0; s < 4; s++) {
            const uint8x16_t both = vld1q_u8(w + s * 256 + 4 * i);
            const int8x16_t low = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
            const int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
            sum = dot4(dot4(sum, low, four(x + 8 * s)), high, four(x + 8 * s + 4));
        }
        vst1q_s32(sums + i, sum);
    }
}

#include "sixteen.h"
