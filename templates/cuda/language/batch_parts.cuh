/* Many sequences: a block of threads takes SEQUENCES of them through the whole model and waits for
   nobody. Weights come from L2, once a token for all of its sequences. */

enum { BATCH_THREADS = 256, BATCH_WARPS = BATCH_THREADS / 32 };
constexpr __host__ __device__ int most(int a, int b) { return a > b ? a : b; }
constexpr int INPUT_TILES = units(most(DIM, most(MOST_NEURONS, FFN)), 32);
constexpr int WORK = most(DIM, most(units(MOST_NEURONS, 4) * 4, FFN));
constexpr int DIGIT_WORDS = 4 * (INPUT_TILES | 1); /* odd, so that banks differ */
constexpr int KEY_STRIDE = units(CONTEXT, 32) * 32;
constexpr size_t CACHE = (size_t)DIM * (KEY_STRIDE + CONTEXT); /* floats of a block */

/* Best or sum over the rows that one warp has seen, for one sequence. */
struct Seen {
    float top, sum, target;
    int32_t token;
};

/* What a block of threads knows of its sequences. */
template <int N> struct Shared {
    float x[N][DIM], h[N][DIM], work[N][WORK];
    float scores[CAUSAL ? BATCH_WARPS : 1][CAUSAL ? CONTEXT : 1];
    uint4 digits[N][DIGIT_WORDS]; /* [tile][lane % 4]: two words of high digits, two of low */
    int2 sums[N][DIM];
    Seen seen[BATCH_WARPS][N];
    float size[N], own[N];
    int32_t length[N], start[N], place[N], end[N]; /* tokens so far, the window's first, ... */
    int32_t alive, asked;
};

/* The sequence of a lane's sums: slots are numbers that the compiler knows. */
__device__ __forceinline__ int sequence_of(int slot)
{
    return slot / 2 * 8 + (threadIdx.x & 3) * 2 + slot % 2;
}

/* Weights of a row tile along COLUMNS tiles, and the first two parameters of this lane's rows. */
template <int COLUMNS> struct Loaded {
    uint4 weights[COLUMNS ? COLUMNS : 1];
    float first[2], second[2];
};

template <int COLUMNS>
__device__ __forceinline__ Loaded<COLUMNS> loaded(const uint8_t *data, const Matrix &m, int tile)
{
    Loaded<COLUMNS> l;
    const int lane = threadIdx.x & 31;
    const uint4 *a = tile_at(data, m, tile) + lane;
    const float *p = parameters(data, m, tile) + lane / 4;
#pragma unroll
    for (int k = 0; k < COLUMNS; k++)
        l.weights[k] = __ldg(a + k * 32);
    for (int i = 0; i < 2; i++)
        l.first[i] = __ldg(p + 8 * i), l.second[i] = __ldg(p + 16 + 8 * i);
    return l;
}

/* Product of a matrix with the digits of N sequences: each(row tile, row, slot, high, low, first
   two parameters) for this lane's sums. COLUMNS tiles along, 0 where that is not known; where few,
   the next row tile is on its way while this one is multiplied. With ``parts`` a row tile is shared
   by so many warps, and each sees its own share of the sums. */
template <int N, int COLUMNS, class Each>
__device__ __forceinline__ void products(
    const Shared<N> &s, const uint8_t *data, const Matrix m, int parts, Each each)
{
    constexpr int AHEAD = COLUMNS * (N / 8) <= 4 ? COLUMNS : 0;
    const int warp = threadIdx.x / 32, lane = threadIdx.x & 31, end = (int)m.rows * parts;
    const int columns = COLUMNS ? COLUMNS : (int)m.columns;
    Loaded<AHEAD> next;
    if (warp < end)
        next = loaded<AHEAD>(data, m, warp / parts);
    for (int unit = warp; unit < end; unit += BATCH_WARPS) {
        const int tile = unit / parts;
        const uint4 *a = tile_at(data, m, tile) + lane;
        const Loaded<AHEAD> now = next;
        if (unit + BATCH_WARPS < end)
            next = loaded<AHEAD>(data, m, (unit + BATCH_WARPS) / parts);
        int sums[N / 8][2][4] = {};
        __syncwarp(); /* each() may have parted the lanes */
#pragma unroll (COLUMNS && COLUMNS <= 8 ? COLUMNS : 4)
        for (int k = unit % parts; k < columns; k += parts) {
            const uint4 weights = AHEAD ? now.weights[AHEAD ? k : 0] : __ldg(a + k * 32);
#pragma unroll
            for (int n = 0; n < N / 8; n++) {
                const uint4 b = s.digits[n * 8 + lane / 4][k * 4 + (lane & 3)];
                multiply(sums[n][0], weights, b.x, b.y);
                multiply(sums[n][1], weights, b.z, b.w);
            }
        }
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                each(tile, lane / 4 + i / 2 * 8, n * 2 + i % 2, sums[n][0][i], sums[n][1][i],
                     now.first[i / 2], now.second[i / 2]);
    }
}

/* Digits of v [n] of a sequence, zeros to the end of the last tile. A whole warp. */
template <int N>
__device__ __forceinline__ void take_digits(Shared<N> &s, int q, const float *v, int n)
{
    const int lane = threadIdx.x & 31;
    float top = 0.0f;
    for (int i = lane; i < n; i += 32)
        top = larger(fabsf(v[i]), top);
    const Digits d = digits_of(warp_most(top));
    if (lane == 0)
        s.size[q] = d.size;
    unsigned *words = (unsigned *)s.digits[q];
    for (int i = lane; i < units(n, 32) * 8; i += 32) {
        const uint2 both = split(v, i * 4, n, d.up);
        const int at = i / 8 * 16 + (i & 3) * 4 + (i & 7) / 4;
        words[at] = both.x;
        words[at + 2] = both.y;
    }
}

/* Digits of norm(x); h = norm(x) stays. */
template <int N> __device__ __forceinline__ void take_norm(Shared<N> &s, const float *vectors)
{
    const int lane = threadIdx.x & 31;
    for (int q = threadIdx.x / 32; q < N; q += BATCH_WARPS) {
        const Moments m = moments(s.x[q]);
        for (int i = lane; i < DIM; i += 32)
            s.h[q][i] = normed(s.x[q][i], m, vectors, i);
        __syncwarp();
        s.own[q] = total_squares(s.h[q], 0.0f, DIM);
        take_digits(s, q, s.h[q], DIM);
    }
    __syncthreads();
}

/* x += matrix times digits + bias: the few rows are shared by all warps, whose integers add up. */
template <int N>
__device__ __forceinline__ void add_product(Shared<N> &s, const uint8_t *data, const Matrix m)
{
    int parts = BATCH_WARPS / (int)m.rows;
    parts = parts > (int)m.columns ? (int)m.columns : parts > 1 ? parts : 1;
    products<N, 0>(s, data, m, parts, [&](int tile, int row, int slot, int high, int low, float,
                                          float) {
        const int q = sequence_of(slot);
        if (tile * 16 + row < DIM) {
            atomicAdd(&s.sums[q][tile * 16 + row].x, high);
            atomicAdd(&s.sums[q][tile * 16 + row].y, low);
        }
    });
    __syncthreads();
    for (int i = threadIdx.x; i < N * DIM; i += BATCH_THREADS) {
        const int q = i / DIM, r = i % DIM;
        const float *row = parameters(data, m, r / 16) + r % 16;
        const int2 sum = s.sums[q][r];
        const float y = add(joined(sum.x, sum.y, s.size[q], row[0]), row[16 * BIAS]);
        s.x[q][r] = add(s.x[q][r], y);
        s.sums[q][r] = make_int2(0, 0);
    }
    __syncthreads();
}

/* ---- attention ---- */

/* Keys [DIM][KEY_STRIDE] and values [CONTEXT][DIM] of a sequence in a block of the model. */
__device__ __forceinline__ float *keys_of(float *cache, int sequence, int block)
{
    return cache + ((size_t)sequence * BLOCKS + (size_t)block) * CACHE;
}

/* put(d, y) for y [HEAD_SIZE] of one head. A whole warp; ``scores`` [CONTEXT] is its own. */
template <class Put>
__device__ __forceinline__ void attend(
    const float *query, const float *keys, const float *values, float *scores, int n, Put put)
{
    const int lane = threadIdx.x & 31;
    const float scale = divide(1.0f, __fsqrt_rn((float)HEAD_SIZE));
    for (int j = lane; j < n; j += 32) {
        float even = 0.0f, odd = 0.0f; /* columns */
        for (int d = 0; d < HEAD_SIZE; d += 2) {
            even = add(even, mul(keys[d * KEY_STRIDE + j], query[d]));
            if (d + 1 < HEAD_SIZE)
                odd = add(odd, mul(keys[(d + 1) * KEY_STRIDE + j], query[d + 1]));
        }
        scores[j] = mul(add(even, odd), scale);
    }
    __syncwarp();
    softmax(scores, n);
    for (int d = lane; d < HEAD_SIZE; d += 32) {
        float even = 0.0f, odd = 0.0f; /* places */
        for (int j = 0; j < n; j += 2) {
            even = add(even, mul(values[j * DIM + d], scores[j]));
            if (j + 1 < n)
                odd = add(odd, mul(values[(j + 1) * DIM + d], scores[j + 1]));
        }
        put(d, add(even, odd));
    }
    __syncwarp();
}

/* Queries into work, keys and values into the cache. */
template <int N>
__device__ __forceinline__ void take_heads(
    Shared<N> &s, const uint8_t *data, const Matrix m, float *cache, int block, int first, int end)
{
    products<N, DIM_TILES>(s, data, m, 1, [&](int tile, int row, int slot, int high, int low,
                                              float scale, float bias) {
        const int q = sequence_of(slot);
        const int head = tile / HEAD_TILES, r = tile % HEAD_TILES * 16 + row;
        const int part = r / HEAD_SIZE, at = head * HEAD_SIZE + r % HEAD_SIZE;
        if (part > 2)
            return;
        const float y = add(joined(high, low, s.size[q], scale), bias);
        if (part == 0)
            s.work[q][at] = y;
        if (part == 0 || first + q >= end)
            return;
        float *keys = keys_of(cache, first + q, block);
        float *values = keys + (size_t)DIM * KEY_STRIDE;
        if (part == 1)
            keys[at * KEY_STRIDE + s.place[q]] = y;
        else
            values[s.place[q] * DIM + at] = y;
    });
    __syncthreads();
}

template <int N>
__device__ __forceinline__ void take_attention(
    Shared<N> &s, const uint8_t *data, const Matrix m, float *cache, int block, int first, int end)
{
    const int warp = threadIdx.x / 32;
    for (int unit = warp; unit < N * HEADS; unit += BATCH_WARPS) {
        const int q = unit / HEADS, at = unit % HEADS * HEAD_SIZE;
        if (first + q >= end)
            continue;
        const float *keys = keys_of(cache, first + q, block);
        const float *values = keys + (size_t)DIM * KEY_STRIDE;
        attend(&s.work[q][at], keys + at * KEY_STRIDE, values + at, s.scores[warp], s.place[q] + 1,
               [&](int d, float y) { s.h[q][at + d] = y; });
    }
    __syncthreads();
    for (int q = warp; q < N; q += BATCH_WARPS)
        take_digits(s, q, s.h[q], DIM);
    __syncthreads();
    add_product(s, data, m);
}

/* ---- field and feed-forward ---- */

/* Sum of |x - p| over the columns of a neuron. */
__device__ __forceinline__ float distance_l1(const float *x, const uint4 *tile, int r, float scale)
{
    float sum = 0.0f;
    for (int k = 0; k < DIM; k++) {
        const int8_t weight = ((const int8_t *)tile)[byte_in_tile(r, k)];
        sum = add(sum, fabsf(sub(x[k], add(mul((float)weight, scale), 0.0f))));
    }
    return sum;
}

template <int N>
__device__ __forceinline__ void take_field(
    Shared<N> &s, const uint8_t *data, const Matrix m)
{
    const int neurons = (int)m.count;
    products<N, DIM_TILES>(s, data, m, 1, [&](int tile, int row, int slot, int high, int low,
                                              float scale, float norm) {
        const int q = sequence_of(slot), n = tile * 16 + row;
        if (n >= neurons)
            return;
        const float *p = parameters(data, m, tile) + row;
        const float found = L1 ? distance_l1(s.h[q], tile_at(data, m, tile), row, scale)
                               : joined(high, low, s.size[q], scale);
        const float z = neuron_score(found, s.own[q], norm, p);
        s.work[q][n] = NORMALIZED ? z : mul(neuron_weight(z), p[16 * VALUE_SCALE]);
    });
    __syncthreads();
    for (int q = threadIdx.x / 32; q < N; q += BATCH_WARPS) {
        if (NORMALIZED) {
            softmax(s.work[q], neurons);
            for (int n = threadIdx.x & 31; n < neurons; n += 32)
                s.work[q][n] = mul(s.work[q][n],
                                   parameters(data, m, n / 16)[16 * VALUE_SCALE + n % 16]);
            __syncwarp();
        }
        take_digits(s, q, s.work[q], neurons);
    }
    __syncthreads();
}

template <int N>
__device__ __forceinline__ void take_hidden(Shared<N> &s, const uint8_t *data, const Matrix m)
{
    products<N, DIM_TILES>(s, data, m, 1, [&](int tile, int row, int slot, int high, int low,
                                              float scale, float bias) {
        const int q = sequence_of(slot);
        if (tile * 16 + row < FFN)
            s.work[q][tile * 16 + row] = gelu(add(joined(high, low, s.size[q], scale), bias));
    });
    __syncthreads();
    for (int q = threadIdx.x / 32; q < N; q += BATCH_WARPS)
        take_digits(s, q, s.work[q], FFN);
    __syncthreads();
}
