/* The parts of one token's way through the model, shared by all blocks of the grid. */

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
#pragma unroll 16
        for (int k = 0; k < n; k++)
            sum = add(sum, mul(v[k], (float)weights[16 * k]));
        const int d = share.tile(j) * 16 + r;
        if (d < DIM)
            tell<CLUSTER>(o.others, s.exchange.y + d, add(sum, bias));
    }
    add_heard<CLUSTER>(o);
}

/* ---- attention, field, feed-forward ---- */

/* Keys [HEAD_SIZE][KEY_STRIDE] and values [CONTEXT][stride] of one of this block's heads. */
struct Remembered {
    float *keys, *values;
    int stride;
};

template <bool RESIDENT>
__device__ __forceinline__ Remembered remembered(const One &o, int block, int head)
{
    if (RESIDENT && o.kept) {
        const int heads = units(HEADS, (int)o.others.blocks);
        float *at = o.kept + (size_t)(block * heads + head / (int)o.others.blocks) * HEAD_CACHE;
        return Remembered{at, at + HEAD_SIZE * KEY_STRIDE, HEAD_SIZE};
    }
    float *at = keys_of(o.cache, 0, block);
    return Remembered{at + head * HEAD_SIZE * KEY_STRIDE,
                      at + (size_t)DIM * KEY_STRIDE + head * HEAD_SIZE, DIM};
}

/* Keys and values of this block's heads; then, unless ``last`` is false, x += attention. */
template <bool CLUSTER, bool RESIDENT>
__device__ __forceinline__ void take_attention(One &o, int block, int place, bool last)
{
    OneShared &s = *o.s;
    const float size = take_norm(s, o.vectors + (size_t)block * 6 * DIM);
    take_rows<RESIDENT>(o, block * PER_BLOCK, size, [&](int r, const float *row, float product) {
        const float y = add(product, row[16 * BIAS]);
        const int head = r / (HEAD_TILES * 16), in_head = r % (HEAD_TILES * 16);
        const int part = in_head / HEAD_SIZE, d = in_head % HEAD_SIZE;
        const Remembered m = remembered<RESIDENT>(o, block, head);
        if (part == 0)
            s.query[head * HEAD_SIZE + d] = y;
        else if (part == 1)
            m.keys[d * KEY_STRIDE + place] = y;
        else if (part == 2)
            m.values[place * m.stride + d] = y;
    });
    __syncthreads();
    if (!last)
        return;
    const int warp = threadIdx.x / 32, blocks = (int)o.others.blocks;
    for (int head = (int)o.others.rank + warp * blocks; head < HEADS; head += ONE_WARPS * blocks) {
        const Remembered m = remembered<RESIDENT>(o, block, head);
        const float *query = s.query + head * HEAD_SIZE;
        const auto put = [&](int d, float y) {
            tell<CLUSTER>(o.others, s.exchange.attention + head * HEAD_SIZE + d, y);
        };
        if (RESIDENT && o.kept)
            attend<HEAD_SIZE>(query, m.keys, m.values, s.scores[warp], place + 1, put);
        else
            attend<DIM>(query, m.keys, m.values, s.scores[warp], place + 1, put);
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
