/* The parts of one token's way through the model, shared by all blocks of the grid. */

enum { ONE_THREADS = 512, ONE_WARPS = ONE_THREADS / 32, PASS = ONE_WARPS * 2 };

/* ---- which tiles of a matrix are whose ---- */

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

/* ``everywhere``: every block has all of OUTPUT, which spares a meeting. */
struct One {
    Weights weights;
    OneShared *s;
    const float *vectors;
    float *cache;
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
#pragma unroll 4
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

/* Sums of row tiles ``from`` to ``from + n`` of this block. Out of line, so that the code of a token
   stays in the instruction cache. */
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

/* ---- vectors: every block does the same ---- */

/* The end of take_digits, out of line: v [n] is at ``offset`` in shared memory. */
__device__ CRYSTAL_OUT_OF_LINE float cut_digits(float top, int offset, int n)
{
    CRYSTAL_DYNAMIC_SHARED(unsigned char, memory);
    OneShared &s = *(OneShared *)memory;
    const float *v = (const float *)(memory + offset);
    top = warp_most(top);
    if ((threadIdx.x & 31) == 0)
        s.tops[threadIdx.x / 32] = top;
    __syncthreads();
    top = warp_most(s.tops[threadIdx.x & (ONE_WARPS - 1)]);
    const Digits d = digits_of(top);
    unsigned *words = (unsigned *)s.digits;
    for (int i = threadIdx.x; i < units(n, 32) * 8; i += ONE_THREADS) {
        const uint2 both = split(v, i * 4, n, d.up);
        const int at = i / 8 * 16 + (i & 3) * 2 + (i & 7) / 4;
        words[at] = both.x;
        words[at + 8] = both.y;
    }
    __syncthreads();
    return d.size;
}

/* Digits of v [n], which value(i) gives and stores; their size. */
template <class Value>
__device__ __forceinline__ float take_digits(OneShared &s, const float *v, int n, Value value)
{
    float top = 0.0f;
    for (int i = threadIdx.x; i < n; i += ONE_THREADS)
        top = larger(fabsf(value(i)), top);
    return cut_digits(top, (int)((const char *)v - (const char *)&s), n);
}

/* Digits of h = norm(x). ``x`` is complete. */
__device__ __forceinline__ float take_norm(OneShared &s, const float *vectors)
{
    const Moments m = moments(s.x);
    return take_digits(s, s.h, DIM, [&](int i) {
        return s.h[i] = normed(s.x[i], m, vectors, i);
    });
}

/* Digits of a vector that the blocks found together. */
template <bool CLUSTER>
__device__ __forceinline__ float take_heard(const One &o, float *v, int n)
{
    return take_digits(*o.s, v, n, [&](int i) { return v[i] = heard<CLUSTER>(o.others, v + i); });
}

/* x += what the blocks have told each other. */
template <bool CLUSTER> __device__ __forceinline__ void add_heard(One &o)
{
    OneShared &s = *o.s;
    meet<CLUSTER>(o.others);
    for (int i = threadIdx.x; i < DIM; i += ONE_THREADS)
        s.x[i] = add(s.x[i], heard<CLUSTER>(o.others, s.exchange.y + i));
    __syncthreads();
}

/* x += matrix times digits + bias. */
template <bool CLUSTER, bool RESIDENT>
__device__ __forceinline__ void add_product(One &o, int matrix, float size)
{
    OneShared &s = *o.s;
    const bool alone = o.everywhere && matrix % PER_BLOCK == OUTPUT;
    take_rows<RESIDENT>(o, matrix, size, [&](int r, const float *row, float product) {
        const float y = add(product, row[16 * BIAS]);
        if (r >= DIM)
            return;
        if (alone)
            s.x[r] = add(s.x[r], y);
        else
            tell<CLUSTER>(o.others, s.exchange.y + r, y);
    });
    if (alone)
        return __syncthreads();
    add_heard<CLUSTER>(o);
}

/* x += matrix of sixteen bits times v [n] + bias: one after another, as the runtime adds. */
template <bool CLUSTER, bool RESIDENT>
__device__ __forceinline__ void add_wide_product(One &o, int matrix, const float *v, int n)
{
    OneShared &s = *o.s;
    const Share &share = s.shares[matrix];
    const int r = threadIdx.x & 15;
    for (int j = threadIdx.x / 16; j < share.count; j += ONE_THREADS / 16) {
        const uint8_t *tile = tile_of<RESIDENT>(s, o.weights.base, matrix, j);
        const int16_t *weights = (const int16_t *)tile + r;
        const float bias = ((const float *)(tile + s.matrices[matrix].behind))[16 * BIAS + r];
        float sum = 0.0f;
#pragma unroll 8
        for (int k = 0; k < n; k++)
            sum = add(sum, mul(v[k], (float)weights[16 * k]));
        const int d = share.tile(j) * 16 + r;
        if (d < DIM)
            tell<CLUSTER>(o.others, s.exchange.y + d, add(sum, bias));
    }
    add_heard<CLUSTER>(o);
}

/* ---- attention, field, feed-forward ---- */

/* Keys and values of this block's heads; then, unless ``last`` is false, x += attention. */
template <bool CLUSTER, bool RESIDENT>
__device__ __forceinline__ void take_attention(One &o, int block, int place, bool last)
{
    OneShared &s = *o.s;
    float *keys = keys_of(o.cache, 0, block), *values = keys + (size_t)DIM * KEY_STRIDE;
    const float size = take_norm(s, o.vectors + (size_t)block * 6 * DIM);
    take_rows<RESIDENT>(o, block * PER_BLOCK, size, [&](int r, const float *row, float product) {
        const float y = add(product, row[16 * BIAS]);
        const int in_head = r % (HEAD_TILES * 16), part = in_head / HEAD_SIZE;
        const int at = r / (HEAD_TILES * 16) * HEAD_SIZE + in_head % HEAD_SIZE;
        if (part == 0)
            s.query[at] = y;
        else if (part == 1)
            keys[at * KEY_STRIDE + place] = y;
        else if (part == 2)
            values[place * DIM + at] = y;
    });
    __syncthreads();
    if (!last)
        return;
    const int warp = threadIdx.x / 32, blocks = (int)o.others.blocks;
    for (int head = (int)o.others.rank + warp * blocks; head < HEADS; head += ONE_WARPS * blocks) {
        const int at = head * HEAD_SIZE;
        attend(s.query + at, keys + at * KEY_STRIDE, values + at, s.scores[warp], place + 1,
               [&](int d, float y) { tell<CLUSTER>(o.others, s.exchange.attention + at + d, y); });
    }
    meet<CLUSTER>(o.others);
    const float found = take_heard<CLUSTER>(o, s.exchange.attention, DIM);
    add_product<CLUSTER, RESIDENT>(o, block * PER_BLOCK + OUTPUT, found);
}

/* Scores of neurons [n], as told, to their weights, times the scales of their values. */
template <bool CLUSTER>
__device__ __forceinline__ void take_softmax(One &o, int matrix, float *found, int n)
{
    const Matrix m = o.s->matrices[matrix];
    const uint8_t *data = o.weights.base + (size_t)m.data * UNIT;
    for (int i = threadIdx.x; i < n; i += ONE_THREADS)
        found[i] = heard<CLUSTER>(o.others, found + i);
    __syncthreads();
    if (threadIdx.x < 32)
        softmax(found, n);
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += ONE_THREADS) {
        const float *row = parameters(data, m, i / 16) + i % 16;
        float &weight = found[index_of(row, i)];
        weight = mul(weight, row[16 * VALUE_SCALE]);
    }
    __syncthreads();
}

template <bool CLUSTER, bool RESIDENT> __device__ __forceinline__ void take_field(One &o, int block)
{
    OneShared &s = *o.s;
    const int matrix = block * PER_BLOCK + FIELD, values = block * PER_BLOCK + VALUES;
    const int neurons = (int)s.matrices[matrix].count;
    const float size = take_norm(s, o.vectors + ((size_t)block * 6 + 2) * DIM);
    const float own = total_squares(s.h, 0.0f, DIM);
    float *found = s.exchange.neurons;
    take_rows<RESIDENT>(o, matrix, size, [&](int n, const float *row, float product) {
        const int r = threadIdx.x & 15;
        const uint8_t *tile = (const uint8_t *)(row - r) - s.matrices[matrix].behind;
        if (n >= neurons)
            return;
        const float met = L1 ? distance_l1(s.h, (const uint4 *)tile, r, row[16 * SCALE]) : product;
        const float z = neuron_score(met, own, row[16 * NORM], row);
        tell<CLUSTER>(o.others, found + n,
                      NORMALIZED ? z : mul(neuron_weight(z), row[16 * VALUE_SCALE]));
    });
    meet<CLUSTER>(o.others);
    if (NORMALIZED)
        take_softmax<CLUSTER>(o, matrix, found, neurons);
    const auto weight = [&](int n) {
        if (!NORMALIZED)
            found[n] = heard<CLUSTER>(o.others, found + n);
        return found[n];
    };
    if (!s.matrices[values].wide()) {
        const float scaled = take_digits(s, found, neurons, weight);
        return add_product<CLUSTER, RESIDENT>(o, values, scaled);
    }
    for (int n = threadIdx.x; n < neurons; n += ONE_THREADS)
        weight(n);
    __syncthreads();
    add_wide_product<CLUSTER, RESIDENT>(o, values, found, neurons);
}

template <bool CLUSTER, bool RESIDENT>
__device__ __forceinline__ void take_hidden(One &o, int block)
{
    OneShared &s = *o.s;
    const float size = take_norm(s, o.vectors + ((size_t)block * 6 + 4) * DIM);
    take_rows<RESIDENT>(o, block * PER_BLOCK + UP, size, [&](int r, const float *row, float y) {
        if (r < FFN)
            tell<CLUSTER>(o.others, s.exchange.hidden + r, gelu(add(y, row[16 * BIAS])));
    });
    meet<CLUSTER>(o.others);
    const float found = take_heard<CLUSTER>(o, s.exchange.hidden, FFN);
    add_product<CLUSTER, RESIDENT>(o, block * PER_BLOCK + DOWN, found);
}
