/* ---- products of floats on tensor cores: x = hi + lo / 2048, both halves, and so the weights;
        hi hi + (hi lo + lo hi) / 2048 keeps 22 bits. Magnitudes reach 65504; beyond, NaN ---- */

struct Split {
    static constexpr bool EXACT = false;
    unsigned hi[4], lo[4];
};

/* Bytes, each of which one half holds; what they stand for is multiplied with the sums. */
struct Exact {
    static constexpr bool EXACT = true;
    unsigned hi[4];
};

/* Four neighbours of a sample as they are loaded, and what an operand of them is. */
template <class In> struct Four {
    typedef float4 type;
    typedef Split operand;
};
template <> struct Four<uint8_t> {
    typedef unsigned type;
    typedef Exact operand;
};

__device__ __forceinline__ void split(float a, float b, unsigned &hi, unsigned &lo)
{
    hi = crystal_pack_f16(a, b);
    lo = crystal_pack_f16((a - crystal_f16(hi & 0xffffu)) * 2048.0f,
                          (b - crystal_f16(hi >> 16)) * 2048.0f);
}

/* Sixteen columns of both rows, as they come from memory or from two tiles. */
__device__ __forceinline__ Split input_fragment(const float4 &row0, const float4 &row1)
{
    Split a;
    split(row0.x, row0.y, a.hi[0], a.lo[0]);
    split(row1.x, row1.y, a.hi[1], a.lo[1]);
    split(row0.z, row0.w, a.hi[2], a.lo[2]);
    split(row1.z, row1.w, a.hi[3], a.lo[3]);
    return a;
}

__device__ __forceinline__ Exact input_fragment(unsigned row0, unsigned row1)
{
    return {{crystal_bytes_f16(row0, 0), crystal_bytes_f16(row1, 0), crystal_bytes_f16(row0, 16),
             crystal_bytes_f16(row1, 16)}};
}

/* Numbers beyond the length count as zero. */
template <int N>
__device__ __forceinline__ Split fragment(const float *left, const float *right, int tile, int t)
{
    float v[8];
#pragma unroll
    for (int c = 0; c < 8; ++c) {
        const int column = 8 * (tile + (c >> 2)) + 2 * t + (c & 1);
        v[c] = column < N ? (c < 4 ? left[c] : right[c - 4]) : 0.0f;
    }
    Split a;
    split(v[0], v[1], a.hi[0], a.lo[0]);
    split(v[2], v[3], a.hi[1], a.lo[1]);
    split(v[4], v[5], a.hi[2], a.lo[2]);
    split(v[6], v[7], a.hi[3], a.lo[3]);
    return a;
}

template <int N, int S, int T>
__device__ __forceinline__ void fragments_of(Split (&a)[S], const float (&x)[T][4], int t)
{
#pragma unroll
    for (int q = 0; q < S; ++q)
        a[q] = fragment<N>(x[2 * q], x[2 * q + 1 < T ? 2 * q + 1 : 2 * q], 2 * q, t);
}

/* Four columns of a row from k on: zero beyond its end. */
template <int N> __device__ __forceinline__ float4 load_four(const float *row, int k)
{
    if constexpr (N % 16 == 0) {
        const uint4 x = read_once<true>(row + k);
        return make_float4(__uint_as_float(x.x), __uint_as_float(x.y), __uint_as_float(x.z),
                           __uint_as_float(x.w));
    } else if constexpr (N % 4 == 0) {
        return k < N ? four(row, k / 4) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    } else {
        float v[4];
#pragma unroll
        for (int e = 0; e < 4; ++e)
            v[e] = k + e < N ? row[k + e] : 0.0f;
        return make_float4(v[0], v[1], v[2], v[3]);
    }
}

template <int N> __device__ __forceinline__ unsigned load_four(const uint8_t *row, int k)
{
    unsigned word = 0;
    if constexpr (N % 4 == 0) {
        word = N % 16 == 0 || k < N ? *(const unsigned *)(row + k) : 0u;
    } else {
#pragma unroll
        for (int e = 0; e < 4; ++e)
            word |= k + e < N ? (unsigned)row[k + e] << 8 * e : 0u;
    }
    return word;
}

__device__ __forceinline__ float squares(const float4 &v)
{
    return v.x * v.x + v.y * v.y + (v.z * v.z + v.w * v.w);
}
__device__ __forceinline__ float squares(unsigned v) { return (float)__dp4a(v, v, 0u); }

/* What a number of a sample as it is loaded stands for. */
template <class In> __device__ __forceinline__ float unit(float scale)
{
    return sizeof(In) == 1 ? scale : 1.0f;
}

/* One step of one tile; b: two words of halves, and two of residuals where W is 4. */
template <int W>
__device__ __forceinline__ void multiply_one(float (&d)[4], float (&e)[4], const Split &a,
                                                    const unsigned *b)
{
    crystal_mma_f16(d, a.hi, b);
    crystal_mma_f16(e, a.lo, b);
    if (W == 4)
        crystal_mma_f16(e, a.hi, b + 2);
}

template <int T, int W>
__device__ __forceinline__ void multiply(float (&d)[T][4], float (&e)[T][4], const Split &a,
                                                const unsigned (&b)[T][W])
{
#pragma unroll
    for (int j = 0; j < T; ++j)
        multiply_one<W>(d[j], e[j], a, b[j]);
}

template <int W> __device__ __forceinline__ void load_words(unsigned *b, const unsigned *from)
{
    if (W == 4)
        *(uint4 *)b = *(const uint4 *)from;
    else
        *(uint2 *)b = *(const uint2 *)from;
}

template <int W, int T>
__device__ __forceinline__ void multiply(float (&d)[T][4], float (&e)[T][4], const Split &a,
                                                const unsigned *weights, int lane)
{
#pragma unroll
    for (int j = 0; j < T; ++j) {
        __align__(16) unsigned b[W];
        load_words<W>(b, weights + W * (32 * j + lane));
        multiply_one<W>(d[j], e[j], a, b);
    }
}

/* One step of the samples for PARTS rows of tiles, weights held or in memory. Four products that
   do not wait for each other come in a row. */
template <int W, int P, int T, class A>
__device__ __forceinline__ void multiply_group(float (&d)[P][T][4], float (&e)[P][T][4],
                                                      const A (&a)[P], const unsigned *b,
                                                      int tile, int count)
{
#pragma unroll
    for (int j = 0; j < count; ++j)
#pragma unroll
        for (int p = 0; p < P; ++p)
            crystal_mma_f16(d[p][tile + j], a[p].hi, b + W * j);
    if constexpr (!A::EXACT)
#pragma unroll
        for (int j = 0; j < count; ++j)
#pragma unroll
            for (int p = 0; p < P; ++p)
                crystal_mma_f16(e[p][tile + j], a[p].lo, b + W * j);
    if (W == 4)
#pragma unroll
        for (int j = 0; j < count; ++j)
#pragma unroll
            for (int p = 0; p < P; ++p)
                crystal_mma_f16(e[p][tile + j], a[p].hi, b + W * j + 2);
}

template <int P, int T, int W, class A>
__device__ __forceinline__ void multiply(float (&d)[P][T][4], float (&e)[P][T][4],
                                                const A (&a)[P], const unsigned (&b)[T][W])
{
    multiply_group<W>(d, e, a, &b[0][0], 0, T);
}

template <int W, int P, int T, class A>
__device__ __forceinline__ void multiply(float (&d)[P][T][4], float (&e)[P][T][4],
                                                const A (&a)[P], const unsigned *weights,
                                                int lane)
{
    constexpr int GROUP = 4 / P;
#pragma unroll
    for (int j = 0; j < T; j += GROUP) {
        __align__(16) unsigned b[W * GROUP];
#pragma unroll
        for (int i = 0; i < GROUP && j + i < T; ++i)
            load_words<W>(b + W * i, weights + W * (32 * (j + i) + lane));
        multiply_group<W>(d, e, a, b, j, T - j < GROUP ? T - j : GROUP);
    }
}

/* All steps of K: weights held in registers, or in memory with `stride` words between steps. */
template <int S, int T, int W>
__device__ __forceinline__ void multiply_all(float (&d)[T][4], float (&e)[T][4],
                                                    const Split (&a)[S],
                                                    const unsigned (&b)[S][T][W])
{
#pragma unroll
    for (int q = 0; q < S; ++q)
        multiply(d, e, a[q], b[q]);
}

template <int W, int S, int T>
__device__ __forceinline__ void multiply_all(float (&d)[T][4], float (&e)[T][4],
                                                    const Split (&a)[S], const unsigned *weights,
                                                    int stride, int lane)
{
#pragma unroll
    for (int q = 0; q < S; ++q)
        multiply<W>(d, e, a[q], weights + stride * q, lane);
}

/* x [N] in the warp's shared memory. */
template <int W, int N, int T>
__device__ __forceinline__ void multiply_long(float (&d)[T][4], float (&e)[T][4],
                                                     const float *x, const unsigned *weights,
                                                     int stride, int t, int lane)
{
#pragma unroll 1
    for (int q = 0; 16 * q < N; ++q) {
        float v[2][4];
#pragma unroll
        for (int c = 0; c < 8; ++c)
            v[c >> 2][c & 3] = 16 * q + 8 * (c >> 2) < N ? x[32 * (8 * q + c) + lane] : 0.0f;
        multiply<W>(d, e, fragment<N>(v[0], v[1], 2 * q, t), weights + stride * q, lane);
    }
}

/* The chunk of x [N] that begins at tile `base`. */
template <int W, int N, int C, int T>
__device__ __forceinline__ void multiply_chunk(float (&d)[T][4], float (&e)[T][4],
                                                      const float (&x)[C][4],
                                                      const unsigned *weights, int stride,
                                                      int base, int t, int lane)
{
#pragma unroll
    for (int q = 0; q < C / 2; ++q)
        if (8 * (base + 2 * q) < N)
            multiply<W>(d, e, fragment<N>(x[2 * q], x[2 * q + 1], base + 2 * q, t),
                        weights + stride * (base / 2 + q), lane);
}

template <int T>
__device__ __forceinline__ void add_residuals(float (&d)[T][4], const float (&e)[T][4],
                                                     float unit = 1.0f)
{
#pragma unroll
    for (int j = 0; j < T; ++j)
#pragma unroll
        for (int c = 0; c < 4; ++c)
            d[j][c] = (d[j][c] + e[j][c] * (1.0f / 2048.0f)) * unit;
}
