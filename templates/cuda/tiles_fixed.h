/* ---- products of bytes on tensor cores, exact ---- */

struct Bytes {
    unsigned word[4];
};

struct BytePair {
    Bytes step[2];
};

/* Sixty-four columns of both rows, 16 bytes of each per lane: two steps. */
__device__ __forceinline__ BytePair input_fragment(const uint4 &row0, const uint4 &row1)
{
    return {{{{row0.x, row1.x, row0.y, row1.y}}, {{row0.z, row1.z, row0.w, row1.w}}}};
}

__device__ __forceinline__ unsigned pack4(int a, int b, int c, int d)
{
    const unsigned low = __byte_perm((unsigned)a, (unsigned)b, 0x0040);
    return __byte_perm(low, __byte_perm((unsigned)c, (unsigned)d, 0x0040), 0x5410);
}

template <bool SIGNED> __device__ __forceinline__ unsigned saturated4(int a, int b, int c, int d)
{
    return SIGNED ? crystal_pack_s8(a, b, c, d) : crystal_pack_u8(a, b, c, d);
}

/* Thirty-two columns in four tiles, saturated; numbers beyond the length count as zero. */
template <bool SIGNED, int N>
__device__ __forceinline__ Bytes fragment(const int32_t *const (&x)[4], int tile, int t)
{
    int v[4][4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int c = 0; c < 4; ++c)
            v[i][c] = 8 * (tile + i) + 2 * t + (c & 1) < N ? x[i][c] : 0;
    return {{saturated4<SIGNED>(v[0][0], v[0][1], v[1][0], v[1][1]),
             saturated4<SIGNED>(v[0][2], v[0][3], v[1][2], v[1][3]),
             saturated4<SIGNED>(v[2][0], v[2][1], v[3][0], v[3][1]),
             saturated4<SIGNED>(v[2][2], v[2][3], v[3][2], v[3][3])}};
}

/* Tile k, or any other where there is no tile k. */
template <int T> __device__ __forceinline__ constexpr int tile_or(int k) { return k < T ? k : 0; }

template <bool SIGNED, int N, int S, int T>
__device__ __forceinline__ void fragments_of(Bytes (&a)[S], const int32_t (&x)[T][4], int t)
{
#pragma unroll
    for (int q = 0; q < S; ++q) {
        const int32_t *const four[4] = {x[tile_or<T>(4 * q)], x[tile_or<T>(4 * q + 1)],
                                        x[tile_or<T>(4 * q + 2)], x[tile_or<T>(4 * q + 3)]};
        a[q] = fragment<SIGNED, N>(four, 4 * q, t);
    }
}

/* Four numbers of a row from k on as bytes: zero beyond its end. */
template <int N, class In> __device__ __forceinline__ unsigned load_word(const In *row, int k)
{
    unsigned word = 0;
    if constexpr (N % 4 == 0 && sizeof(In) == 1) {
        word = k < N ? *(const unsigned *)(row + k) : 0u;
    } else if constexpr (N % 4 == 0) {
        if (k < N) {
            const auto x = four(row, k / 4);
            word = pack4(input(x.x), input(x.y), input(x.z), input(x.w));
        }
    } else {
#pragma unroll
        for (int e = 0; e < 4; ++e)
            word |= k + e < N ? (unsigned)(uint8_t)input(row[k + e]) << 8 * e : 0u;
    }
    return word;
}

/* Sixteen bytes, where possible at once: zero beyond the end, or, if the weights there are
   zero and nothing else counts (ANY), any of the row. */
template <int N, bool ANY, class In>
__device__ __forceinline__ uint4 load_bytes(const In *row, int k)
{
    if constexpr (N % 16 == 0 && sizeof(In) == 1) {
        if (N % 64 == 0 || ANY)
            return read_once<N % 32 == 0>(row + (N % 64 ? min(k, N - 16) : k));
        return k < N ? read_once<false>(row + k) : make_uint4(0u, 0u, 0u, 0u);
    } else {
        return make_uint4(load_word<N>(row, k), load_word<N>(row, k + 4),
                          load_word<N>(row, k + 8), load_word<N>(row, k + 12));
    }
}

/* The sum of squares of sixteen bytes, signed or not. */
template <class B> __device__ __forceinline__ int32_t squares(const uint4 &v)
{
    if constexpr ((B)-1 < 0)
        return __dp4a((int)v.x, (int)v.x, __dp4a((int)v.y, (int)v.y,
               __dp4a((int)v.z, (int)v.z, __dp4a((int)v.w, (int)v.w, 0))));
    else
        return (int32_t)__dp4a(v.x, v.x, __dp4a(v.y, v.y, __dp4a(v.z, v.z, __dp4a(v.w, v.w, 0u))));
}

/* The sums of squares of both rows of a vector of bytes, this lane's part. */
template <bool SIGNED, int S>
__device__ __forceinline__ void add_squares(int32_t (&sums)[2], const Bytes (&a)[S])
{
#pragma unroll
    for (int q = 0; q < S; ++q)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const unsigned word = a[q].word[i];
            sums[i & 1] = SIGNED ? __dp4a((int)word, (int)word, sums[i & 1])
                                 : (int)__dp4a(word, word, (unsigned)sums[i & 1]);
        }
}

/* Sums that begin with a number of each column, which lie in the order of the lanes. */
template <int T>
__device__ __forceinline__ void begin(int32_t (&d)[T][4], const int32_t *from, int tile, int t)
{
#pragma unroll
    for (int j = 0; j < T; ++j) {
        const int4 v = ((const int4 *)from)[4 * (tile + j) + t];
        d[j][0] = v.x, d[j][1] = v.y, d[j][2] = v.z, d[j][3] = v.w;
    }
}

/* One step of one tile; SIGNED says what x is, weights are signed. */
template <bool SIGNED>
__device__ __forceinline__ void multiply_one(int32_t (&d)[4], const Bytes &a,
                                                    const unsigned *b)
{
    if (SIGNED)
        crystal_mma_s8(d, a.word, b);
    else
        crystal_mma_u8s8(d, a.word, b);
}

template <bool SIGNED, int P, int T>
__device__ __forceinline__ void multiply(int32_t (&d)[P][T][4], const BytePair (&a)[P],
                                                const unsigned (&b)[T][2],
                                                const unsigned (&b1)[T][2])
{
#pragma unroll
    for (int j = 0; j < T; ++j)
#pragma unroll
        for (int p = 0; p < P; ++p) {
            multiply_one<SIGNED>(d[p][j], a[p].step[0], b[j]);
            multiply_one<SIGNED>(d[p][j], a[p].step[1], b1[j]);
        }
}

template <bool SIGNED, int T>
__device__ __forceinline__ void multiply_step(int32_t (&d)[T][4], const Bytes &a,
                                                     const unsigned *weights, int lane)
{
#pragma unroll
    for (int j = 0; j < T; ++j) {
        const uint2 words = *(const uint2 *)(weights + 2 * (32 * j + lane));
        const unsigned b[2] = {words.x, words.y};
        multiply_one<SIGNED>(d[j], a, b);
    }
}

template <bool SIGNED, int P, int T>
__device__ __forceinline__ void multiply(int32_t (&d)[P][T][4], const BytePair (&a)[P],
                                                const unsigned *weights, int stride, int lane)
{
#pragma unroll
    for (int s = 0; s < 2; ++s)
#pragma unroll
        for (int j = 0; j < T; ++j) {
            const uint2 words = *(const uint2 *)(weights + stride * s + 2 * (32 * j + lane));
            const unsigned b[2] = {words.x, words.y};
#pragma unroll
            for (int p = 0; p < P; ++p)
                multiply_one<SIGNED>(d[p][j], a[p].step[s], b);
        }
}

/* All steps of K: weights held in registers, or in memory with `stride` words between steps. */
template <bool SIGNED, int S, int T>
__device__ __forceinline__ void multiply_all(int32_t (&d)[T][4], const Bytes (&a)[S],
                                                    const unsigned (&b)[S][T][2])
{
#pragma unroll
    for (int q = 0; q < S; ++q)
#pragma unroll
        for (int j = 0; j < T; ++j)
            multiply_one<SIGNED>(d[j], a[q], b[q][j]);
}

template <bool SIGNED, int S, int T>
__device__ __forceinline__ void multiply_all(int32_t (&d)[T][4], const Bytes (&a)[S],
                                                    const unsigned *weights, int stride, int lane)
{
#pragma unroll
    for (int q = 0; q < S; ++q)
        multiply_step<SIGNED>(d, a[q], weights + stride * q, lane);
}

/* x [N] in the warp's shared memory. */
template <bool SIGNED, int N, int T>
__device__ __forceinline__ void multiply_long(int32_t (&d)[T][4], const int32_t *x,
                                                     const unsigned *weights, int stride, int t,
                                                     int lane)
{
#pragma unroll 1
    for (int q = 0; 32 * q < N; ++q) {
        int32_t v[4][4];
#pragma unroll
        for (int c = 0; c < 16; ++c)
            v[c >> 2][c & 3] = 32 * q + 8 * (c >> 2) < N ? x[32 * (16 * q + c) + lane] : 0;
        const int32_t *const four[4] = {v[0], v[1], v[2], v[3]};
        multiply_step<SIGNED>(d, fragment<SIGNED, N>(four, 4 * q, t), weights + stride * q, lane);
    }
}

/* The chunk of x [N] that begins at tile `base`. */
template <bool SIGNED, int N, int C, int T>
__device__ __forceinline__ void multiply_chunk(int32_t (&d)[T][4], const int32_t (&x)[C][4],
                                                      const unsigned *weights, int stride,
                                                      int base, int t, int lane)
{
#pragma unroll
    for (int q = 0; q < C / 4; ++q) {
        const int32_t *const four[4] = {x[4 * q], x[4 * q + 1], x[4 * q + 2], x[4 * q + 3]};
        multiply_step<SIGNED>(d, fragment<SIGNED, N>(four, base + 4 * q, t),
                              weights + stride * (base / 4 + q), lane);
    }
}
