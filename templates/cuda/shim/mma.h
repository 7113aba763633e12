/* Tensor-core products of a warp, with the register layout of PTX's mma.sync.

   d[16, 8] += a[16, K] b[K, 8]. Lane l = 4 g + t holds, for E elements in a 32-bit register,
     a[r]: row g + 8 (r & 1), columns 4 E (r >> 1) + E t + e        r < 2 N registers, K = 4 E N
     b[r]: rows 4 E r + E t + e, column g                            r < N
     d[r]: row g + 8 (r >> 1), column 2 t + (r & 1)                  r < 4  */

#ifndef CRYSTAL_SHIM_MMA_H
#define CRYSTAL_SHIM_MMA_H

namespace crystal_shim {

static inline float f16_value(unsigned bits)
{
    const unsigned sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, low = bits & 1023u;
    if (exponent == 31)
        return __uint_as_float(sign | 0x7f800000u | low << 13);
    if (exponent == 0)
        return __uint_as_float(sign | __float_as_uint((float)low * 0x1p-24f));
    return __uint_as_float(sign | (exponent + 112) << 23 | low << 13);
}

/* Round to nearest, ties to even; overflow gives infinity. */
static inline unsigned f16_bits(float value)
{
    const unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000u;
    const float size = fabsf(value);
    if (isnan(value))
        return sign | 0x7fffu;
    if (size >= 65520.0f)
        return sign | 0x7c00u;
    if (size < 0x1p-14f)
        return sign | (unsigned)nearbyintf(size * 0x1p24f);
    const unsigned up = (bits & 0x7fffffffu) + 0xfffu + (bits >> 13 & 1u);
    return sign | ((up >> 13) - (112u << 10));
}

static inline float bf16_value(unsigned bits) { return __uint_as_float((bits & 0xffffu) << 16); }

static inline unsigned bf16_bits(float value)
{
    const unsigned bits = __float_as_uint(value);
    if (isnan(value))
        return 0x7fffu;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

/* Element e of a 32-bit register. */
struct F16 {
    enum { PER = 2 };
    static double at(unsigned word, int e) { return f16_value(word >> 16 * e & 0xffffu); }
};
struct BF16 {
    enum { PER = 2 };
    static double at(unsigned word, int e) { return bf16_value(word >> 16 * e & 0xffffu); }
};
struct TF32 { /* the hardware ignores the low 13 bits */
    enum { PER = 1 };
    static double at(unsigned word, int) { return __uint_as_float(word & 0xffffe000u); }
};
struct S8 {
    enum { PER = 4 };
    static int at(unsigned word, int e) { return (signed char)(word >> 8 * e & 255u); }
};
struct U8 {
    enum { PER = 4 };
    static int at(unsigned word, int e) { return (int)(word >> 8 * e & 255u); }
};

/* Sums in float as the coarsest tensor core forms them: four products and the sum before are cut
   off below the last bit of the largest of them, and so is their sum. Newer ones keep more. */
struct FloatSum {
    typedef float type;
    static double cut(double x, double unit) { return trunc(x / unit) * unit; }
    static double four(double start, const double *products)
    {
        double most = fabs(start), sum;
        for (int i = 0; i < 4; ++i)
            most = fmax(most, fabs(products[i]));
        if (!(most > 0x1p-120) || isinf(most))
            return start + products[0] + products[1] + products[2] + products[3];
        const double unit = ldexp(1.0, ilogb(most) - 23);
        sum = cut(start, unit);
        for (int i = 0; i < 4; ++i)
            sum += cut(products[i], unit);
        return sum == 0 || isnan(sum) ? sum : cut(sum, ldexp(1.0, ilogb(sum) - 23));
    }
    static float add(float start, const double *products, int count)
    {
        double sum = start;
        for (int i = 0; i < count; i += 4)
            sum = four(sum, products + i);
        return (float)sum;
    }
};
struct IntSum {
    typedef int type;
    static int add(int start, const double *products, int count)
    {
        int64_t sum = start;
        for (int i = 0; i < count; ++i)
            sum += (int64_t)products[i];
        return (int)(uint32_t)(uint64_t)sum; /* wraps, as mma without .satfinite */
    }
};

template <class T> struct Product {
    T *d;
    const unsigned *a, *b;
};

template <class A, class B, class Sum, int N> static void multiply(void *const lanes[LANES])
{
    typedef Product<typename Sum::type> Lane;
    enum { E = A::PER, K = 4 * E * N };
    double a[16][K], b[K][8], products[K];
    for (int lane = 0; lane < (int)LANES; ++lane) {
        if (!lanes[lane])
            return fail_plain("a tensor-core product needs all 32 lanes");
        const Lane &mine = *(const Lane *)lanes[lane];
        const int g = lane >> 2, t = lane & 3;
        for (int r = 0; r < 2 * N; ++r)
            for (int e = 0; e < E; ++e)
                a[g + 8 * (r & 1)][4 * E * (r >> 1) + E * t + e] = A::at(mine.a[r], e);
        for (int r = 0; r < N; ++r)
            for (int e = 0; e < E; ++e)
                b[4 * E * r + E * t + e][g] = B::at(mine.b[r], e);
    }
    for (int lane = 0; lane < (int)LANES; ++lane)
        for (int r = 0; r < 4; ++r) {
            const int row = (lane >> 2) + 8 * (r >> 1), column = 2 * (lane & 3) + (r & 1);
            for (int k = 0; k < K; ++k)
                products[k] = a[row][k] * b[k][column];
            typename Sum::type &d = ((const Lane *)lanes[lane])->d[r];
            d = Sum::add(d, products, K);
        }
}

template <class A, class B, class Sum, int N>
static inline void mma(Place place, typename Sum::type *d, const unsigned *a, const unsigned *b)
{
    Product<typename Sum::type> mine = {d, a, b};
    warp_meet(place, 0xFFFFFFFFu, multiply<A, B, Sum, N>, &mine);
}

} // namespace crystal_shim

/* The names that templates/cuda/mma.h gives to mma.sync under nvcc. */
#define CRYSTAL_MMA(A, B, Sum, N, ...)                                      \
    ::crystal_shim::mma<::crystal_shim::A, ::crystal_shim::B,               \
                        ::crystal_shim::Sum, N>(CRYSTAL_HERE, __VA_ARGS__)
#define crystal_mma_f16(d, a, b) CRYSTAL_MMA(F16, F16, FloatSum, 2, d, a, b)
#define crystal_mma_f16_k8(d, a, b) CRYSTAL_MMA(F16, F16, FloatSum, 1, d, a, b)
#define crystal_mma_bf16(d, a, b) CRYSTAL_MMA(BF16, BF16, FloatSum, 2, d, a, b)
#define crystal_mma_tf32(d, a, b) CRYSTAL_MMA(TF32, TF32, FloatSum, 2, d, a, b)
#define crystal_mma_s8(d, a, b) CRYSTAL_MMA(S8, S8, IntSum, 2, d, a, b)
#define crystal_mma_u8s8(d, a, b) CRYSTAL_MMA(U8, S8, IntSum, 2, d, a, b)
#define crystal_mma_s8u8(d, a, b) CRYSTAL_MMA(S8, U8, IntSum, 2, d, a, b)

/* Four integers as bytes, saturated, the first in the low bits. */
static inline unsigned crystal_pack_bytes(int low, int high, int a, int b, int c, int d)
{
    unsigned word = 0;
    for (int x : {d, c, b, a})
        word = word << 8 | ((unsigned)(x < low ? low : x > high ? high : x) & 255u);
    return word;
}
#define crystal_pack_s8(...) crystal_pack_bytes(-128, 127, __VA_ARGS__)
#define crystal_pack_u8(...) crystal_pack_bytes(0, 255, __VA_ARGS__)

/* Two floats as a register of halves, the first in the low bits. */
static inline unsigned crystal_pack_f16(float low, float high)
{
    return crystal_shim::f16_bits(high) << 16 | crystal_shim::f16_bits(low);
}
static inline unsigned crystal_pack_bf16(float low, float high)
{
    return crystal_shim::bf16_bits(high) << 16 | crystal_shim::bf16_bits(low);
}
/* Two bytes of a word from bit `at` on as halves. */
static inline unsigned crystal_bytes_f16(unsigned word, int at)
{
    return crystal_pack_f16((float)(word >> at & 255u), (float)(word >> (at + 8) & 255u));
}
static inline float crystal_f16(unsigned bits) { return crystal_shim::f16_value(bits & 0xffffu); }

#endif
