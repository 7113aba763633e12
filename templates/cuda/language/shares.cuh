/* Which tiles of a matrix are whose, where blocks share it. */

/* ``count`` tiles in groups of ``together``; number j of them is tile(j). ``more`` of them have
   nibbles. */
struct Share {
    int first, step, together, count, more;
    __host__ __device__ int tile(int j) const
    {
        return (first + j / together * step) * together + j % together;
    }
};

/* Of ``n`` things that are dealt out from ``first`` on, one to each of ``blocks``. */
constexpr __host__ __device__ int dealt(int n, int first, int blocks)
{
    return n > first ? units(n - first, blocks) : 0;
}

/* Heads go to the first blocks, other tiles to the last ones. */
__host__ __device__ inline Share share_of(
    int matrix, const Matrix &m, int rank, int blocks, bool everywhere)
{
    const int which = matrix == HEAD ? HEAD : matrix % PER_BLOCK, rows = (int)m.rows;
    if (which == OUTPUT && everywhere)
        return Share{0, 1, 1, rows, (int)m.fine};
    if (which == QUERY_KEY_VALUE) {
        const int heads = dealt(rows / HEAD_TILES, rank, blocks);
        return Share{rank, blocks, HEAD_TILES, heads * HEAD_TILES, heads * (int)m.fine};
    }
    const int first = blocks - 1 - rank;
    return Share{first, blocks, 1, dealt(rows, first, blocks), dealt((int)m.fine, first, blocks)};
}

/* Units of 64 bytes that a share takes. */
__host__ __device__ inline uint32_t units_of(const Matrix &m, const Share &share)
{
    return m.stride * (uint32_t)share.count + m.more_stride() * (uint32_t)share.more;
}

/* A warp copies units of 64 bytes into shared memory. */
__device__ __forceinline__ void copy_units(const uint8_t *to, const uint8_t *from, uint32_t n)
{
    for (uint32_t k = threadIdx.x & 31; k < n * (UNIT / 16); k += 32)
        ((uint4 *)to)[k] = __ldg((const uint4 *)from + k);
}
