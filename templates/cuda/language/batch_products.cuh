/* Many sequences: a block of threads takes SEQUENCES of them through the whole model and waits for
   nobody. Weights come from L2, once a token for all of its sequences. */

/* So many threads that a processor mostly has a warp with work; the parts of a model are out of
   line, so that each has all registers to itself. */
enum { BATCH_THREADS = 512, BATCH_WARPS = BATCH_THREADS / 32 };
constexpr __host__ __device__ int most(int a, int b) { return a > b ? a : b; }
constexpr int INPUT_TILES = units(most(DIM, most(MOST_NEURONS, FFN)), 32);
constexpr int WORK = most(DIM, most(units(MOST_NEURONS, 4) * 4, FFN));
constexpr int DIGIT_WORDS = 4 * (INPUT_TILES | 1); /* odd, so that banks differ */
constexpr int KEY_STRIDE = units(CONTEXT, 32) * 32;
constexpr int HEAD_CACHE = HEAD_SIZE * (KEY_STRIDE + CONTEXT); /* floats of a head */
constexpr size_t CACHE = (size_t)DIM * (KEY_STRIDE + CONTEXT); /* floats of a block */

/* Best or sum over the rows that one warp has seen, for one sequence. */
struct alignas(16) Seen {
    float top, sum, target;
    int32_t token;
};

/* A block among those of its cluster, whose first sequence is ``first``. */
struct Here {
    int rank, blocks, first;
};

/* What a block of threads knows of its sequences; of their progress, all blocks of a cluster know
   everything: its own are the first N, then those of the next block and so on. */
template <int N> struct Shared {
    float x[N][DIM], h[N][DIM], work[N][WORK];
    float scores[CAUSAL ? BATCH_WARPS : 1][CAUSAL ? CONTEXT : 1];
    uint4 digits[N][DIGIT_WORDS]; /* [tile][lane % 4]: two words of high digits, two of low */
    int2 sums[N][DIM];
    Seen seen[BATCH_WARPS][N];
    float size[N], own[N];
    int32_t length[N * MOST_CLUSTER], end[N * MOST_CLUSTER];  /* tokens so far, and at last */
    int32_t start[N * MOST_CLUSTER], place[N * MOST_CLUSTER]; /* a window's first, the next in it */
    int32_t alive, asked;
    Here here;
};

/* The sequence of a lane's sums: slots are numbers that the compiler knows. */
__device__ __forceinline__ int sequence_of(int slot)
{
    return slot / 2 * 8 + (threadIdx.x & 3) * 2 + slot % 2;
}

/* HERE: from shared memory, else from the device's, where nobody writes. */
template <bool HERE, class T> __device__ __forceinline__ T fetched(const T *at)
{
    return HERE ? *at : __ldg(at);
}

/* Digits of the sequences of a block: column k of eight of them as a lane holds it. digits(n, k)
   takes numbers that the compiler knows. */
template <int N> struct Own {
    const Shared<N> &s;
    __device__ __forceinline__ uint4 found(int n, int k) const
    {
        const int lane = threadIdx.x & 31;
        return s.digits[n * 8 + lane / 4][k * 4 + (lane & 3)];
    }
    __device__ __forceinline__ uint4 digits(int n, int k) const { return found(n, k); }
    __device__ __forceinline__ float size(int slot) const { return s.size[sequence_of(slot)]; }
};

/* Sums of one row tile's weights over every ``parts``-th column from ``part`` on: high and low. */
template <int N, int COLUMNS, class Inputs, class Weight>
__device__ __forceinline__ void sum_tile(const Inputs &inputs, int part, int parts, int columns,
                                         Weight weight, int (&sums)[N / 8][2][4])
{
    __syncwarp(); /* what was done with sums may have parted the lanes */
#pragma unroll (COLUMNS && COLUMNS < 8 ? COLUMNS : 8)
    for (int k = part; k < columns; k += parts) {
        const uint4 weights = weight(k);
#pragma unroll
        for (int n = 0; n < N / 8; n++) {
            const uint4 b = inputs.digits(n, k);
            multiply(sums[n][0], weights, b.x, b.y);
            multiply(sums[n][1], weights, b.z, b.w);
        }
    }
}

/* y = what four bits more of a row tile add to this lane's products. As the runtime has it, the
   nibbles of 32 columns meet the high digits, and their minimum the sum of these. */
template <int N, bool HERE, class Inputs>
__device__ __forceinline__ void take_more(
    const Inputs &inputs, const uint8_t *data, const Matrix &m, int tile, float (&y)[N / 8][4])
{
    const int lane = threadIdx.x & 31, columns = (int)m.columns;
    const uint8_t *more = data + (size_t)(m.more + more_of(m, tile)) * UNIT;
    const uint4 *a = (const uint4 *)more + lane, ones = make_uint4(ONES, ONES, ONES, ONES);
    const float *p = (const float *)(more + columns * TILE_BYTES) + lane / 4;
    __syncwarp();
#pragma unroll 1
    for (int k = 0; k < columns; k++, a += 32, p += 32) {
        const uint4 nibbles = fetched<HERE>(a);
#pragma unroll
        for (int n = 0; n < N / 8; n++) {
            const uint4 b = inputs.found(n, k);
            int dots[4] = {}, all[4] = {};
            multiply(dots, nibbles, b.x, b.y);
            multiply(all, ones, b.x, b.y);
#pragma unroll
            for (int i = 0; i < 4; i++)
                y[n][i] = with_group(y[n][i], dots[i], fetched<HERE>(p + i / 2 * 8), all[i],
                                     fetched<HERE>(p + 16 + i / 2 * 8));
        }
    }
#pragma unroll
    for (int i = 0; i < N / 2; i++)
        y[i / 4][i % 4] = mul(y[i / 4][i % 4], mul(inputs.size(i / 4 * 2 + i % 2), 128.0f));
}

/* Product of a matrix along DIM with the digits of N sequences: each(row, slot, y, the row's BIAS,
   its parameters) for this lane's products, of row tiles ``warp``, ``warp`` + ``warps``, ... If a
   row is a neuron, NORM is in the place of BIAS. */
template <int N, bool HERE, class Inputs, class Each>
__device__ __forceinline__ void products(const Inputs &inputs, const uint8_t *data, const Matrix &m,
                                         int warp, int warps, Each each)
{
    const int lane = threadIdx.x & 31, end = (int)m.rows;
    float size[N / 4];
#pragma unroll
    for (int slot = 0; slot < N / 4; slot++)
        size[slot] = inputs.size(slot);
    for (int tile = warp; tile < end; tile += warps) {
        const uint4 *a = tile_at(data, m, tile) + lane;
        const float *row = parameters(data, m, tile) + lane / 4;
        float scale[2], bias[2];
        int index[2];
        for (int i = 0; i < 2; i++) {
            scale[i] = fetched<HERE>(row + 16 * SCALE + 8 * i);
            bias[i] = fetched<HERE>(row + 16 * BIAS + 8 * i);
            index[i] = tile * 16 + lane / 4 + 8 * i;
            if (FINE)
                index[i] = __float_as_int(fetched<HERE>(row + 16 * INDEX + 8 * i));
        }
        const bool fine = has_more(m, tile);
        float more[N / 8][4] = {};
        if (fine)
            take_more<N, HERE>(inputs, data, m, tile, more);
        int sums[N / 8][2][4] = {};
        sum_tile<N, DIM_TILES>(inputs, 0, 1, DIM_TILES,
                               [&](int k) { return fetched<HERE>(a + k * 32); }, sums);
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int slot = n * 2 + i % 2;
                float y = joined(sums[n][0][i], sums[n][1][i], size[slot], scale[i / 2]);
                if (fine)
                    y = add(y, more[n][i]);
                each(index[i / 2], slot, y, bias[i / 2], row + i / 2 * 8);
            }
    }
}

/* The same for the sequences of a block. */
template <int N, class Each>
__device__ __forceinline__ void own_products(
    const Shared<N> &s, const uint8_t *data, const Matrix &m, Each each)
{
    products<N, false>(Own<N>{s}, data, m, (int)threadIdx.x / 32, BATCH_WARPS, each);
}

/* h = what four bits more of some rows of a matrix add to its product. */
template <int N>
__device__ __forceinline__ void take_all_more(Shared<N> &s, const uint8_t *data, const Matrix &m)
{
    for (int tile = threadIdx.x / 32; tile < (int)m.fine; tile += BATCH_WARPS) {
        const float *row = parameters(data, m, tile) + (threadIdx.x & 31) / 4;
        float more[N / 8][4] = {};
        take_more<N, false>(Own<N>{s}, data, m, tile, more);
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            const int r = index_of(row + i % 4 / 2 * 8, 0);
            if (r < DIM)
                s.h[sequence_of(i / 4 * 2 + i % 2)][r] = more[i / 4][i % 4];
        }
    }
}

/* x += matrix times digits + bias: the few rows are shared by all warps, whose integers add up.
   h may be lost. */
template <int N>
__device__ CRYSTAL_OUT_OF_LINE void add_product(Shared<N> &s, const uint8_t *data, const Matrix m)
{
    const int lane = threadIdx.x & 31;
    int parts = BATCH_WARPS / (int)m.rows;
    parts = parts > (int)m.columns ? (int)m.columns : parts > 1 ? parts : 1;
    if (FINE)
        take_all_more(s, data, m);
    for (int unit = threadIdx.x / 32; unit < (int)m.rows * parts; unit += BATCH_WARPS) {
        const int tile = unit / parts;
        const uint4 *a = tile_at(data, m, tile) + lane;
        int sums[N / 8][2][4] = {};
        sum_tile<N, 0>(Own<N>{s}, unit % parts, parts, (int)m.columns,
                       [&](int k) { return __ldg(a + k * 32); }, sums);
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            const int at = tile * 16 + lane / 4 + i % 4 / 2 * 8;
            int2 *of = s.sums[sequence_of(i / 4 * 2 + i % 2)];
            if (at < DIM) {
                atomicAdd(&of[at].x, sums[i / 4][0][i % 4]);
                atomicAdd(&of[at].y, sums[i / 4][1][i % 4]);
            }
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < N * DIM; i += BATCH_THREADS) {
        const int q = i / DIM, at = i % DIM;
        const float *row = parameters(data, m, at / 16) + at % 16;
        const int r = index_of(row, at);
        const int2 sum = s.sums[q][at];
        float y = joined(sum.x, sum.y, s.size[q], row[16 * SCALE]);
        if (has_more(m, at / 16))
            y = add(y, s.h[q][r]);
        s.x[q][r] = add(s.x[q][r], add(y, row[16 * BIAS]));
        s.sums[q][at] = make_int2(0, 0);
    }
    __syncthreads();
}

/* x += matrix of sixteen bits times work + bias: one neuron after another, as the runtime adds. */
template <int N>
__device__ CRYSTAL_OUT_OF_LINE void add_wide_product(
    Shared<N> &s, const uint8_t *data, const Matrix &m, int neurons)
{
    const int r = threadIdx.x & 15, from = (threadIdx.x & 16) / 16 * (N / 2);
    for (int tile = threadIdx.x / 32; tile < (int)m.rows; tile += BATCH_WARPS) {
        const int16_t *weights = (const int16_t *)tile_at(data, m, tile) + r;
        float sums[N / 2] = {};
#pragma unroll 16 /* so many weights are under way at once */
        for (int k = 0; k < neurons; k++) {
            const float weight = (float)__ldg(weights + 16 * k);
#pragma unroll
            for (int i = 0; i < N / 2; i++)
                sums[i] = add(sums[i], mul(s.work[from + i][k], weight));
        }
        const float bias = parameters(data, m, tile)[16 * BIAS + r];
        for (int i = 0; tile * 16 + r < DIM && i < N / 2; i++) {
            float &x = s.x[from + i][tile * 16 + r];
            x = add(x, add(sums[i], bias));
        }
    }
    __syncthreads();
}
