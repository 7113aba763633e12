/* ---- a warp's tile of 16 samples: lane 4 g + t has rows g, g + 8 and columns 2 t, 2 t + 1 of
        every eight ---- */

#define EVERYONE 0xFFFFFFFFu

/* Sixteen bytes from global to shared memory, there after copied() and a barrier. */
__device__ __forceinline__ void copy16(unsigned char *to, const void *from)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                     (unsigned)__cvta_generic_to_shared(to)),
                 "l"(__cvta_generic_to_global(from))
                 : "memory");
#else
    *(uint4 *)to = *(const uint4 *)from;
#endif
}

__device__ __forceinline__ void copied()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

/* Sixteen bytes that are read once. ALL: whole sectors of 32 bytes, of which L1 need keep nothing. */
template <bool ALL> __device__ __forceinline__ uint4 read_once(const void *from)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint4 v;
    if (ALL)
        asm("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
            : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
            : "l"(__cvta_generic_to_global(from)));
    else
        asm("ld.global.nc.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
            : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
            : "l"(__cvta_generic_to_global(from)));
    return v;
#else
    return *(const uint4 *)from;
#endif
}

/* Has the line that an address is in brought to L2. */
__device__ __forceinline__ void prefetch(const void *at)
{
#ifdef __CUDA_ARCH__
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(at)));
#else
    (void)*(const volatile char *)at; /* which must be there */
#endif
}

/* Where a warp reads next: STEPS steps of its rows of a tile of 16 PARTS samples, then those of
   its next tile. Rows are g, g + 8, ...; beyond the last sample, the last again. */
template <class In, int N, int STEPS, int PARTS> struct Ahead {
    const In *in, *row[2 * PARTS];
    int n, tile, stride, g, step;

    __device__ __forceinline__ Ahead(const In *in, int n, int tile, int stride, int g)
        : in(in), n(n), tile(tile), stride(stride), g(g), step(0)
    {
        turn();
    }

    __device__ __forceinline__ void turn()
    {
#pragma unroll
        for (int r = 0; r < 2 * PARTS; ++r)
            row[r] = in + (size_t)N * min(16 * PARTS * tile + 8 * r + g, n - 1);
    }

    __device__ __forceinline__ void advance()
    {
        if (++step == STEPS) {
            step = 0;
            tile = min(tile + stride, (n - 1) / (16 * PARTS));
            turn();
        }
    }

    /* Asks L2 for what is read MORE steps later, a row per lane. */
    template <int COLUMNS, int MORE> __device__ __forceinline__ void fetch(int lane) const
    {
        const bool next = step + MORE >= STEPS;
        const int there = next ? min(tile + stride, (n - 1) / (16 * PARTS)) : tile;
        const In *const first = in + COLUMNS * (step + MORE - (next ? STEPS : 0));
        const int from = min(16 * PARTS * there + lane % (16 * PARTS), n - 1);
        prefetch(first + (size_t)N * from);
    }
};

template <int N> __device__ __forceinline__ int limited(int column)
{
    return N % 8 && column >= N ? N - 1 : column;
}

/* The column of number c of a tile; the last one again beyond the end. */
template <int N> __device__ __forceinline__ int column_of(int tile, int t, int c)
{
    const int column = 8 * tile + 2 * t + (c & 1);
    return column >= N ? N - 1 : column;
}

/* Sums, least and first greatest over the four lanes of a row; all four get it. */
template <class T> __device__ __forceinline__ T quad_sum(T x)
{
    x += __shfl_xor_sync(EVERYONE, x, 1);
    return x + __shfl_xor_sync(EVERYONE, x, 2);
}

template <class T> __device__ __forceinline__ T smaller(T a, T b) { return b < a ? b : a; }

template <class T> __device__ __forceinline__ T quad_min(T x)
{
    x = smaller(x, __shfl_xor_sync(EVERYONE, x, 1));
    return smaller(x, __shfl_xor_sync(EVERYONE, x, 2));
}

template <class T> __device__ __forceinline__ T highest();
template <> __device__ __forceinline__ float highest<float>() { return __int_as_float(0x7f800000); }
template <> __device__ __forceinline__ int32_t highest<int32_t>() { return 0x7fffffff; }
template <> __device__ __forceinline__ int64_t highest<int64_t>()
{
    return (int64_t)0x7fffffffffffffff;
}

/* The greatest so far and its column; -1: none yet. */
template <class T> struct Best {
    T value = 0;
    int column = -1;

    __device__ __forceinline__ void take(T x, int k)
    {
        if (k >= 0 && (column < 0 || x > value || (x == value && k < column))) {
            value = x;
            column = k;
        }
    }
};

template <class T> __device__ __forceinline__ int quad_first(Best<T> best)
{
    for (int lanes = 1; lanes <= 2; ++lanes) {
        const T value = __shfl_xor_sync(EVERYONE, best.value, lanes);
        best.take(value, __shfl_xor_sync(EVERYONE, best.column, lanes));
    }
    return best.column;
}

/* A number below 2^30 / C and its column of N as one integer: the first greatest number has the
   greatest, what is beyond the end the least. */
template <int N, int C> __device__ __forceinline__ int32_t key_of(int32_t x, int column)
{
    return x * C + (column < N ? C - 1 - column : -(1 << 30));
}

/* The column of the greatest key of the four lanes of a row. */
template <int C> __device__ __forceinline__ int32_t quad_column(int32_t key)
{
    key = max(key, __shfl_xor_sync(EVERYONE, key, 1));
    key = max(key, __shfl_xor_sync(EVERYONE, key, 2));
    return C - 1 - (key & (C - 1));
}

/* Eight columns that the four lanes of a row have parts of: each gets the sums of its own two. */
template <class S, class T>
__device__ __forceinline__ void scatter(const S (&part)[8], int t, T *out)
{
    const bool high = t & 2, odd = t & 1;
    S four[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const S send = high ? part[i] : part[4 + i], keep = high ? part[4 + i] : part[i];
        four[i] = keep + __shfl_xor_sync(EVERYONE, send, 2);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const S send = odd ? four[i] : four[2 + i], keep = odd ? four[2 + i] : four[i];
        out[i] = (T)(keep + __shfl_xor_sync(EVERYONE, send, 1));
    }
}

template <class T> struct __align__(2 * sizeof(T)) Two { T first, second; };

/* Number c of a tile to row `row` + 8 (c >> 1) and column `column` + (c & 1), where they exist. */
template <int N, class T>
__device__ __forceinline__ void store(T *out, int row, int n, int column, const T (&v)[4])
{
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        T *const to = out + (size_t)N * (row + 8 * r) + column;
        const bool there = row + 8 * r < n && column < N;
        if (N % 2 == 0 && there)
            *(Two<T> *)to = {v[2 * r], v[2 * r + 1]};
        if (N % 2 && there)
            to[0] = v[2 * r];
        if (N % 2 && there && column + 1 < N)
            to[1] = v[2 * r + 1];
    }
}

/* One number per row: two lanes of four write. */
template <class T>
__device__ __forceinline__ void store_one(T *out, int row, int n, int t, T first, T second)
{
    const int at = row + 8 * t;
    if (t < 2 && at < n)
        out[at] = t ? second : first;
}
