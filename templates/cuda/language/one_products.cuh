/* Products with matrices whose rows are dealt out to all blocks of the grid. */

enum { ONE_THREADS = 512, ONE_WARPS = ONE_THREADS / 32, PASS = ONE_WARPS * 2 };

struct OneShared {
    Exchange exchange;
    float x[DIM], h[DIM], query[DIM];
    float scores[CAUSAL ? ONE_WARPS : 1][CAUSAL ? CONTEXT : 1];
    uint2 digits[INPUT_TILES * 8]; /* [tile][high or low][lane % 4] */
    int2 sums[PASS * 16]; /* of so many row tiles at once: a row for each thread */
    float more[FINE ? PASS * 16 : 1];
    float tops[ONE_WARPS];
    int32_t tokens[ONE_WARPS], window[CONTEXT]; /* token i is at i % CONTEXT */
    uint32_t slots[MATRICES];                   /* where this block's tiles of a matrix begin */
    Matrix matrices[MATRICES];
    Share shares[MATRICES];
};

/* ``everywhere``: every block has all of OUTPUT, which spares a meeting. ``kept``: keys and values
   of this block's heads in shared memory, [BLOCKS][heads][HEAD_CACHE], or null. */
struct One {
    Weights weights;
    OneShared *s;
    const float *vectors;
    float *cache, *kept;
    Others others;
    bool everywhere;
};

constexpr int RESIDENCE = units(sizeof(OneShared), UNIT) * UNIT; /* a block's tiles begin here */

/* ---- products ---- */

constexpr int SHORT = DIM_TILES <= 8 ? DIM_TILES : 1; /* columns that fit into registers */

/* Number ``j`` of this block's row tiles, in shared memory or at ``base`` in the device's. */
template <bool RESIDENT>
__device__ __forceinline__ const uint8_t *tile_of(
    const OneShared &s, const uint8_t *base, int matrix, int j)
{
    const Matrix &m = s.matrices[matrix];
    if (RESIDENT)
        return (const uint8_t *)&s + RESIDENCE + (s.slots[matrix] + (size_t)j * m.stride) * UNIT;
    return base + ((size_t)m.data + (size_t)s.shares[matrix].tile(j) * m.stride) * UNIT;
}

/* The nibbles of row tile ``j``. */
template <bool RESIDENT>
__device__ __forceinline__ const uint8_t *more_of_tile(
    const OneShared &s, const uint8_t *base, int matrix, int j)
{
    const Matrix &m = s.matrices[matrix];
    const Share &share = s.shares[matrix];
    if (RESIDENT) {
        const uint32_t tiles = s.slots[matrix] + (uint32_t)share.count * m.stride;
        return (const uint8_t *)&s + RESIDENCE + (size_t)(tiles + more_of(m, j)) * UNIT;
    }
    return base + (size_t)(m.data + m.more + more_of(m, share.tile(j))) * UNIT;
}

/* to [16] = what the nibbles of a row tile add, but for the size of the digits. */
template <bool RESIDENT>
__device__ __forceinline__ void take_more(
    const OneShared &s, const uint8_t *tile, int columns, float *to)
{
    const int lane = threadIdx.x & 31;
    const uint4 *a = (const uint4 *)tile + lane, ones = make_uint4(ONES, ONES, ONES, ONES);
    const float *p = (const float *)(tile + columns * TILE_BYTES) + lane / 4;
    float y[2] = {};
#pragma unroll 2
    for (int k = 0; k < columns; k++, a += 32, p += 32) {
        uint2 x = make_uint2(0u, 0u);
        if (lane < 8)
            x = s.digits[k * 8 + lane];
        int dots[4] = {}, all[4] = {};
        multiply(dots, RESIDENT ? *a : __ldg(a), x.x, x.y);
        multiply(all, ones, x.x, x.y);
        for (int i = 0; i < 2; i++)
            y[i] = with_group(y[i], dots[2 * i], p[8 * i], all[2 * i], p[16 + 8 * i]);
    }
    if ((lane & 3) == 0)
        to[lane / 4] = y[0], to[lane / 4 + 8] = y[1];
}

/* Sums of a row tile over every ``parts``-th column from ``part`` on: two columns, the digits. */
template <bool RESIDENT>
__device__ __forceinline__ void take_tile(
    const OneShared &s, const uint8_t *tile, int part, int parts, int columns, int (&sums)[4])
{
    const int lane = threadIdx.x & 31;
    const uint4 *a = (const uint4 *)tile + lane;
#pragma unroll 4
    for (int k = part; k < columns; k += parts) {
        uint2 x = make_uint2(0u, 0u);
        if (lane < 8)
            x = s.digits[k * 8 + lane];
        multiply(sums, RESIDENT ? a[k * 32] : __ldg(a + k * 32), x.x, x.y);
    }
}

/* The same for a whole tile along DIM, with digits in registers and two sums under way. */
template <bool RESIDENT>
__device__ __forceinline__ void take_whole_tile(
    const uint8_t *tile, const uint2 (&digits)[SHORT], int (&sums)[4])
{
    const uint4 *a = (const uint4 *)tile + (threadIdx.x & 31);
    uint4 weights[SHORT];
    int others[4] = {};
#pragma unroll
    for (int k = 0; k < SHORT; k++)
        weights[k] = RESIDENT ? a[k * 32] : __ldg(a + k * 32);
#pragma unroll
    for (int k = 0; k < SHORT; k++)
        multiply(k & 1 ? others : sums, weights[k], digits[k].x, digits[k].y);
    for (int i = 0; i < 4; i++)
        sums[i] += others[i];
}

/* Of a thread's row: both sums, and what take_more found. */
struct RowSums {
    int high, low;
    float more;
};

/* Sums of row tiles ``from`` to ``from + n`` of this block. Out of line, so that the code of a
   token stays in the instruction cache. */
template <bool RESIDENT>
__device__ CRYSTAL_OUT_OF_LINE RowSums row_sums(const uint8_t *base, int matrix, int from, int n)
{
    CRYSTAL_DYNAMIC_SHARED(unsigned char, memory);
    OneShared &s = *(OneShared *)memory;
    const int warp = threadIdx.x / 32, lane = threadIdx.x & 31, row = threadIdx.x & 15;
    const int columns = (int)s.matrices[matrix].columns;
    int shift = 0; /* 2^shift warps to a tile: all of them have work, and each a column */
    while (2 * n << shift <= ONE_WARPS && 2 << shift <= columns)
        shift++;
    const bool whole = SHORT == columns && shift == 0;
    uint2 digits[SHORT];
#pragma unroll
    for (int k = 0; k < SHORT; k++)
        digits[k] = whole && lane < 8 ? s.digits[k * 8 + lane] : make_uint2(0u, 0u);
    for (int unit = warp; unit < n << shift; unit += ONE_WARPS) {
        const uint8_t *tile = tile_of<RESIDENT>(s, base, matrix, from + (unit >> shift));
        int sums[4] = {};
        __syncwarp();
        if (whole)
            take_whole_tile<RESIDENT>(tile, digits, sums);
        else
            take_tile<RESIDENT>(s, tile, unit & ((1 << shift) - 1), 1 << shift, columns, sums);
        if ((lane & 3) == 0) {
            s.sums[unit * 16 + lane / 4] = make_int2(sums[0], sums[1]);
            s.sums[unit * 16 + lane / 4 + 8] = make_int2(sums[2], sums[3]);
        }
    }
    const Share &share = s.shares[matrix];
    for (int i = warp; FINE && share.more && i < n; i += ONE_WARPS)
        if (has_more(s.matrices[matrix], share.tile(from + i))) {
            __syncwarp();
            const uint8_t *more = more_of_tile<RESIDENT>(s, base, matrix, from + i);
            take_more<RESIDENT>(s, more, columns, s.more + i * 16);
        }
    __syncthreads();
    RowSums sum = {0, 0, FINE && (int)threadIdx.x < n * 16 ? s.more[threadIdx.x] : 0.0f};
    for (int p = 0; (int)threadIdx.x < n * 16 && p < 1 << shift; p++) {
        const int2 part = s.sums[(((threadIdx.x >> 4) << shift) + p) * 16 + row];
        sum.high += part.x, sum.low += part.y;
    }
    return sum;
}

/* each(row of the matrix, its parameters, product with digits of this size), one thread for each
   row of this block. */
template <bool RESIDENT, class Each>
__device__ __forceinline__ void take_rows(const One &o, int matrix, float size, Each each)
{
    const Share &share = o.s->shares[matrix];
    const Matrix &m = o.s->matrices[matrix];
    for (int from = 0; from < share.count; from += PASS) {
        const int n = share.count - from < PASS ? share.count - from : PASS;
        const int j = from + (int)threadIdx.x / 16, r = threadIdx.x & 15;
        const RowSums sum = row_sums<RESIDENT>(o.weights.base, matrix, from, n);
        if (j < from + n) {
            const uint8_t *tile = tile_of<RESIDENT>(*o.s, o.weights.base, matrix, j);
            const float *row = (const float *)(tile + m.behind) + r;
            float y = joined(sum.high, sum.low, size, row[16 * SCALE]);
            if (has_more(m, share.tile(j)))
                y = add(y, mul(sum.more, mul(size, 128.0f)));
            each(index_of(row, share.tile(j) * 16 + r), row, y);
        }
        if (from + PASS < share.count)
            __syncthreads();
    }
}
