/* The parts of a model for the sequences of a block of threads. */

/* ---- vectors ---- */

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
template <int N> __device__ CRYSTAL_OUT_OF_LINE void take_norm(Shared<N> &s, const float *vectors)
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

/* ---- attention ---- */

/* Keys [DIM][KEY_STRIDE] and values [CONTEXT][DIM] of a sequence in a block of the model. */
__device__ __forceinline__ float *keys_of(float *cache, int sequence, int block)
{
    return cache + ((size_t)sequence * BLOCKS + (size_t)block) * CACHE;
}

constexpr int IN_FLIGHT = 16; /* values under way to a lane at once: even, as sums are of pairs */

/* put(d, y) for y [HEAD_SIZE] of one head. keys [HEAD_SIZE][KEY_STRIDE], values [CONTEXT][STRIDE].
   A whole warp; ``scores`` [CONTEXT] is its own. */
template <int STRIDE, class Put>
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
        float sums[2] = {}; /* of even and of odd places */
        for (int from = 0; from < n; from += IN_FLIGHT) {
            float found[IN_FLIGHT];
#pragma unroll
            for (int j = 0; j < IN_FLIGHT; j++)
                found[j] = from + j < n ? values[(from + j) * STRIDE + d] : 0.0f;
#pragma unroll
            for (int j = 0; j < IN_FLIGHT; j++)
                if (from + j < n)
                    sums[j % 2] = add(sums[j % 2], mul(found[j], scores[from + j]));
        }
        put(d, add(sums[0], sums[1]));
    }
    __syncwarp();
}

/* Queries into work, keys and values into the cache. */
template <int N>
__device__ CRYSTAL_OUT_OF_LINE void take_heads(
    Shared<N> &s, const uint8_t *data, const Matrix m, float *cache, int block, int first, int end)
{
    own_products(s, data, m, [&](int r, int slot, float product, float bias, const float *) {
        const int q = sequence_of(slot), in_head = r % (HEAD_TILES * 16);
        const int part = in_head / HEAD_SIZE;
        const int at = r / (HEAD_TILES * 16) * HEAD_SIZE + in_head % HEAD_SIZE;
        if (part > 2)
            return;
        const float y = add(product, bias);
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
__device__ CRYSTAL_OUT_OF_LINE void take_attention(
    Shared<N> &s, const uint8_t *data, const Matrix m, float *cache, int block, int first, int end)
{
    const int warp = threadIdx.x / 32;
    for (int unit = warp; unit < N * HEADS; unit += BATCH_WARPS) {
        const int q = unit / HEADS, at = unit % HEADS * HEAD_SIZE;
        if (first + q >= end)
            continue;
        const float *keys = keys_of(cache, first + q, block);
        const float *values = keys + (size_t)DIM * KEY_STRIDE;
        attend<DIM>(&s.work[q][at], keys + at * KEY_STRIDE, values + at, s.scores[warp],
                    s.place[q] + 1, [&](int d, float y) { s.h[q][at + d] = y; });
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

/* Weights of the neurons into work; digits of them, unless the values are wide. */
template <int N>
__device__ CRYSTAL_OUT_OF_LINE void take_field(
    Shared<N> &s, const uint8_t *data, const Matrix m, bool wide)
{
    const int neurons = (int)m.count;
    own_products(s, data, m, [&](int n, int slot, float product, float norm, const float *row) {
        const int q = sequence_of(slot);
        if (n >= neurons)
            return;
        const float found = L1 ? distance_l1(s.h[q], tile_at(data, m, n / 16), n % 16, row[0])
                               : product;
        const float z = neuron_score(found, s.own[q], norm, row);
        s.work[q][n] = NORMALIZED ? z : mul(neuron_weight(z), row[16 * VALUE_SCALE]);
    });
    __syncthreads();
    for (int q = threadIdx.x / 32; q < N; q += BATCH_WARPS) {
        if (NORMALIZED) {
            softmax(s.work[q], neurons);
            for (int i = threadIdx.x & 31; i < neurons; i += 32) {
                const float *row = parameters(data, m, i / 16) + i % 16;
                float &weight = s.work[q][index_of(row, i)];
                weight = mul(weight, row[16 * VALUE_SCALE]);
            }
            __syncwarp();
        }
        if (!wide)
            take_digits(s, q, s.work[q], neurons);
    }
    __syncthreads();
}

template <int N>
__device__ CRYSTAL_OUT_OF_LINE void take_hidden(Shared<N> &s, const uint8_t *data, const Matrix m)
{
    own_products(s, data, m, [&](int r, int slot, float y, float bias, const float *) {
        if (r < FFN)
            s.work[sequence_of(slot)][r] = gelu(add(y, bias));
    });
    __syncthreads();
    for (int q = threadIdx.x / 32; q < N; q += BATCH_WARPS)
        take_digits(s, q, s.work[q], FFN);
    __syncthreads();
}
