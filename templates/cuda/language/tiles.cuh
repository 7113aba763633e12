/* Weights as the tensor cores take them: tiles of 16 rows by 32 columns, 512 bytes, in the order of
   the lanes that hold them. A matrix is a row of tiles after another, each with the parameters of
   its rows behind it.

   Where FINE, some rows have four bits more: they stand first, and behind the whole matrix follow
   tiles of their nibbles, each row of tiles with [columns][2][16] scales and minima.

   Where WIDE, the values of a field may have sixteen bits: a tile is then [32 columns][16 rows]. */

enum { QUERY_KEY_VALUE, OUTPUT, FIELD, VALUES, UP, DOWN, PER_BLOCK, HEAD = BLOCKS * PER_BLOCK };
enum { MATRICES = HEAD + 1, TILE_BYTES = 512, WIDE_BYTES = 1024, UNIT = 64 };
enum { MORE_UNITS = (TILE_BYTES + 2 * 16 * 4) / UNIT }; /* of a tile of nibbles */

constexpr __host__ __device__ int units(int n, int of) { return (n + of - 1) / of; }

constexpr int DIM_TILES = units(DIM, 32); /* along most matrices */
constexpr int HEAD_SIZE = DIM / HEADS;
constexpr int HEAD_TILES = units(3 * HEAD_SIZE, 16); /* query, key and value of one head */

/* ``data``: where its first tile is, and ``stride`` how far it is to the next rows, in units of 64
   bytes. ``rows``: tiles down, ``columns``: tiles along, ``count``: rows that are not padding. The
   parameters are ``behind`` bytes from their tiles. Of every ``group`` row tiles, ``fine`` have
   more bits, which begin ``more`` units after the first tile. */
struct Matrix {
    uint32_t data, stride, rows, columns, count, behind, group, fine, more;

    __host__ __device__ bool wide() const { return WIDE && behind == columns * WIDE_BYTES; }
    __host__ __device__ uint32_t more_stride() const { return columns * MORE_UNITS; }
};

/* The model in device memory. */
struct Weights {
    const uint8_t *base;
    uint64_t bytes;
    const Matrix *matrices;         /* [MATRICES] */
    const float *vectors;           /* [BLOCKS][3][2][DIM], [2][DIM]: weight and bias of norms */
    const float *tokens, *places;   /* [VOCABULARY][DIM], [CONTEXT][DIM] */
};

__device__ __forceinline__ const uint4 *tile_at(const uint8_t *matrix, const Matrix &m, int tile)
{
    return (const uint4 *)(matrix + (size_t)tile * m.stride * UNIT);
}

/* Parameters [.., 16] of the rows of a tile. */
__device__ __forceinline__ const float *parameters(const uint8_t *matrix, const Matrix &m, int tile)
{
    return (const float *)((const uint8_t *)tile_at(matrix, m, tile) + m.behind);
}

__host__ __device__ __forceinline__ bool has_more(const Matrix &m, int tile)
{
    return FINE && (uint32_t)tile % m.group < m.fine;
}

/* Where the nibbles of a row tile are, in units after the first nibbles: of the ``tile``-th of a
   matrix or of a block's share of it. */
__host__ __device__ __forceinline__ uint32_t more_of(const Matrix &m, int tile)
{
    return ((uint32_t)tile / m.group * m.fine + (uint32_t)tile % m.group) * m.more_stride();
}

/* Where the weight of column ``k`` is in row ``r`` (0 to 15) of a tile. */
constexpr __host__ __device__ int byte_in_tile(int r, int k)
{
    const int lane = r % 8 * 4 + k % 16 / 4, word = r / 8 + k % 32 / 16 * 2;
    return k / 32 * TILE_BYTES + lane * 16 + word * 4 + k % 4;
}

/* sums [16 rows, 8 columns] += tile [16, 32] times columns [32, 8], over a warp. */
__device__ __forceinline__ void multiply(int (&sums)[4], uint4 tile, unsigned low, unsigned high)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    const auto quarter = [](int &x, int &y, unsigned a, unsigned b) {
        asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32"
                     " {%0, %1}, {%2}, {%3}, {%0, %1};"
                     : "+r"(x), "+r"(y)
                     : "r"(a), "r"(b));
    };
    quarter(sums[0], sums[1], tile.x, low), quarter(sums[0], sums[1], tile.z, high);
    quarter(sums[2], sums[3], tile.y, low), quarter(sums[2], sums[3], tile.w, high);
#else
    const unsigned a[4] = {tile.x, tile.y, tile.z, tile.w}, b[2] = {low, high};
    crystal_mma_s8(sums, a, b);
#endif
}

/* A token's row and that of its place. */
__device__ __forceinline__ float embedded(const Weights &w, int token, int place, int i)
{
    return add(w.tokens[(size_t)token * DIM + i], w.places[(size_t)place * DIM + i]);
}
