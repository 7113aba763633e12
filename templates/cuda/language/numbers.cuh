/* The arithmetic of the C runtime, operation by operation: every one rounds to nearest and none is
   contracted, so that a GPU, the shim and the runtime give the same bits. */

#ifdef CRYSTAL_CPU_SHIM
#define CRYSTAL_OUT_OF_LINE
#else
#define CRYSTAL_OUT_OF_LINE __noinline__
#endif

__device__ __forceinline__ float add(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ float sub(float a, float b) { return __fsub_rn(a, b); }
__device__ __forceinline__ float mul(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float divide(float a, float b) { return __fdiv_rn(a, b); }
__device__ __forceinline__ float larger(float a, float b) { return a > b ? a : b; }

constexpr unsigned EVERY = 0xffffffffu; /* lanes of a warp */
constexpr unsigned ONES = 0x01010101u;  /* bytes of a word */
constexpr float SHIFT = 12582912.0f;    /* 1.5 * 2^23: adding it rounds to an integer */
constexpr int SHIFT_BITS = 0x4b400000;
#define ENDLESS __int_as_float(0x7f800000)

/* e^x for x from -87 to 88, beyond that the value at the nearer end. */
__device__ __forceinline__ float exponential(float x)
{
    const float a = larger(x, -87.0f) < 88.0f ? larger(x, -87.0f) : 88.0f;
    const float shifted = add(mul(a, 1.44269504f), SHIFT);
    const float n = sub(shifted, SHIFT);
    const float rough = sub(a, mul(n, 0.693359375f));
    const float r = add(rough, mul(n, 2.12194440e-4f));
    float p = 1.3814315e-3f;
    p = add(mul(p, r), 8.368852e-3f);
    p = add(mul(p, r), 4.166840e-2f);
    p = add(mul(p, r), 0.16666520f);
    p = add(mul(p, r), 0.49999994f);
    p = add(add(mul(mul(p, r), r), r), 1.0f);
    return mul(p, __uint_as_float((__float_as_uint(shifted) + 127u) << 23));
}

/* The tanh form: x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)). */
__device__ __forceinline__ float gelu(float x)
{
    const float cubic = add(mul(mul(0.044715f, mul(x, x)), x), x);
    return divide(x, add(exponential(mul(-1.5957691f, cubic)), 1.0f));
}

/* ---- over the lanes of a warp ---- */

/* The runtime's sum of sixteen: lanes 8 apart, then 4, 2, 1. Both halves of the warp hold it. */
__device__ __forceinline__ float fold(float sum)
{
    for (int half = 8; half; half /= 2)
        sum = add(sum, __shfl_xor_sync(EVERY, sum, half));
    return sum;
}

__device__ __forceinline__ float total(const float *x, int n)
{
    float sum = 0.0f;
    for (int i = threadIdx.x & 15; i < n; i += 16)
        sum = add(sum, x[i]);
    return fold(sum);
}

__device__ __forceinline__ float total_squares(const float *x, float mean, int n)
{
    float sum = 0.0f;
    for (int i = threadIdx.x & 15; i < n; i += 16)
        sum = add(sum, mul(sub(x[i], mean), sub(x[i], mean)));
    return fold(sum);
}

__device__ __forceinline__ float warp_largest(float a)
{
    for (int half = 16; half; half /= 2)
        a = larger(a, __shfl_xor_sync(EVERY, a, half));
    return a;
}

/* The largest of numbers that are not negative: their bits have the same order. */
__device__ __forceinline__ float warp_most(float a)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    return warp_largest(a);
#else
    return __uint_as_float(__reduce_max_sync(EVERY, __float_as_uint(a)));
#endif
}

/* Mean and root of the variance of x [DIM], for a whole warp. */
struct Moments {
    float mean, spread;
};
__device__ __forceinline__ Moments moments(const float *x)
{
    Moments m;
    m.mean = divide(total(x, DIM), (float)DIM);
    m.spread = __fsqrt_rn(add(divide(total_squares(x, m.mean, DIM), (float)DIM), EPSILON));
    return m;
}
__device__ __forceinline__ float normed(float x, Moments m, const float *vectors, int i)
{
    return add(mul(divide(sub(x, m.mean), m.spread), vectors[i]), vectors[DIM + i]);
}

/* x [n] in place. All lanes of one warp. */
__device__ __forceinline__ void softmax(float *x, int n)
{
    const int lane = threadIdx.x & 31;
    float top = x[0];
    for (int i = lane; i < n; i += 32)
        top = larger(x[i], top);
    top = warp_largest(top);
    __syncwarp(); /* all have read x[0]: a shuffle orders no memory */
    for (int i = lane; i < n; i += 32)
        x[i] = exponential(sub(x[i], top));
    __syncwarp();
    const float sum = total(x, n);
    __syncwarp();
    for (int i = lane; i < n; i += 32)
        x[i] = divide(x[i], sum);
    __syncwarp();
}

/* ---- digits: x ~ size * (128 high + low) ---- */

struct Digits {
    float up, size;
};
__device__ __forceinline__ Digits digits_of(float most)
{
    Digits d;
    d.up = most > 1.0e-30f ? divide(16256.0f, most) : 0.0f;
    d.size = divide(most, 16256.0f);
    return d;
}

/* Four neighbours as bytes of a word: high digits in x, low digits in y. */
__device__ __forceinline__ uint2 split(const float *x, int from, int n, float up)
{
    uint2 words = make_uint2(0u, 0u);
    for (int i = 0; i < 4; i++) {
        const float a = from + i < n ? x[from + i] : 0.0f;
        const int whole = (int)(__float_as_uint(add(mul(a, up), SHIFT)) - (unsigned)SHIFT_BITS);
        const int high = (whole + 64) >> 7;
        words.x |= ((unsigned)high & 255u) << (8 * i);
        words.y |= ((unsigned)(whole - 128 * high) & 255u) << (8 * i);
    }
    return words;
}

/* A group of 32 columns: its scale times the sum of products, its minimum times that of digits. */
__device__ __forceinline__ float with_group(float y, int dots, float scale, int all, float least)
{
    return add(add(y, mul((float)dots, scale)), mul((float)all, least));
}

/* What the digits of a product mean. */
__device__ __forceinline__ float joined(int high, int low, float size, float scale)
{
    return mul(mul(add(mul((float)high, 128.0f), (float)low), size), scale);
}

/* ---- the field ---- */

/* Parameters of the rows of a tile, [16] each, one after another. INDEX, an integer, where FINE. */
enum { SCALE, INDEX, BIAS = INDEX + FINE, ROW_PARAMETERS };
enum { NORM = BIAS, TEMPERATURE, RADIUS, VALUE_SCALE, NEURON_PARAMETERS };

/* Which row of its matrix is the one at place ``i``. ``row``: its parameters. */
__device__ __forceinline__ int index_of(const float *row, int i)
{
    return FINE ? __float_as_int(row[16 * INDEX]) : i;
}

/* Score of a neuron. ``found``: p.x, or the sum of |x - p|; ``own``: |x|^2; ``norm``: |p|^2. */
__device__ __forceinline__ float neuron_score(float found, float own, float norm, const float *row)
{
    const float t = row[16 * TEMPERATURE];
    const float l2 = larger(add(sub(own, mul(2.0f, found)), norm), 0.0f);
    const float d2 = L1 ? mul(found, found) : l2;
    if (IS_RADIAL)
        return divide(sub(row[16 * RADIUS], d2), t);
    if (IS_GAUSS)
        return divide(sub(0.0f, d2), mul(t, t));
    const float d = L1 ? found : __fsqrt_rn(d2);
    return divide(sub(0.0f, d), add(fabsf(t), 0.1f));
}

/* Of a field that is not normalized. */
__device__ __forceinline__ float neuron_weight(float z)
{
    if (!IS_RADIAL)
        return exponential(z);
    return IS_RELU ? larger(z, 0.0f) : gelu(z);
}
