/* The kernel of many sequences: greedy text, or log probabilities of text that is given. */

/* First token of the window when there are n: a full context starts anew with its later half. */
__device__ __forceinline__ int window_start(int n)
{
    const int step = CONTEXT - CONTEXT / 2;
    return n > CONTEXT ? units(n - CONTEXT, step) * step : 0;
}

__device__ __forceinline__ int sane(int token)
{
    return token < 0 || token >= VOCABULARY ? 0 : token;
}

template <int N, bool SCORE>
__device__ __forceinline__ void begin(Shared<N> &s, const Batch &b)
{
    for (int i = threadIdx.x; i < N * DIM; i += BATCH_THREADS)
        s.sums[i / DIM][i % DIM] = make_int2(0, 0);
    for (int i = threadIdx.x; i < N * s.here.blocks; i += BATCH_THREADS) {
        const int at = sequence_at(s, i);
        const int given = at >= b.sequences ? 0 : SCORE ? b.count : b.lengths[at];
        const int more = SCORE ? 0 : b.count;
        const bool there = given > 0 && given <= b.stride - more; /* others are left alone */
        s.length[i] = there ? given : 0;
        s.end[i] = there ? given + more : 0;
        s.start[i] = SCORE ? 0 : window_start(s.length[i]);
        s.place[i] = SCORE || CAUSAL || !there ? 0 : given - 1 - s.start[i];
    }
    __syncthreads();
}

template <int N, bool SCORE> __device__ __forceinline__ bool runs(const Shared<N> &s, int i)
{
    return SCORE ? s.place[i] < s.end[i] : s.length[i] < s.end[i];
}

/* Whether a token is the last of those that are known. */
template <int N, bool SCORE> __device__ __forceinline__ bool is_last(const Shared<N> &s, int i)
{
    return SCORE || s.start[i] + s.place[i] + 1 == s.length[i];
}

/* Whether any sequence of the cluster still runs, and whether any needs the head. */
template <int N, bool SCORE> __device__ __forceinline__ void look(Shared<N> &s)
{
    if (threadIdx.x == 0)
        s.alive = s.asked = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < N * s.here.blocks; i += BATCH_THREADS)
        if (runs<N, SCORE>(s, i)) {
            s.alive = 1; /* every thread writes the same */
            if (is_last<N, SCORE>(s, i))
                s.asked = 1;
        }
    __syncthreads();
}

template <int N>
__device__ CRYSTAL_OUT_OF_LINE void take_tokens(Shared<N> &s, const Batch &b)
{
    for (int i = threadIdx.x; i < N * DIM; i += BATCH_THREADS) {
        const int q = i / DIM, at = s.start[q] + s.place[q];
        const int32_t *ids = b.ids + (size_t)sequence_at(s, q) * b.stride;
        const int token = at < s.length[q] ? sane(ids[at]) : 0;
        s.x[q][i % DIM] = embedded(b.weights, token, s.place[q], i % DIM);
    }
    __syncthreads();
}

/* What was seen of a sequence of this block by ``parts`` warps or blocks. */
template <int N>
__device__ __forceinline__ Seen all_seen(const Seen (*seen)[N], int q, int parts, bool score)
{
    Seen a = seen[0][q];
    for (int part = 1; part < parts; part++)
        a = joined_seen(a, seen[part][q], score);
    return a;
}

/* The next token or the score of each sequence, and which place follows. */
template <int N, bool SCORE>
__device__ CRYSTAL_OUT_OF_LINE void advance(
    Shared<N> &s, const Batch &b, const Seen (*seen)[N], int parts)
{
    for (int i = threadIdx.x; i < N * s.here.blocks; i += BATCH_THREADS) {
        if (!runs<N, SCORE>(s, i))
            continue;
        const bool last = is_last<N, SCORE>(s, i);
        if (last && i < N) {
            const Seen a = all_seen<N>(seen, i, parts, SCORE);
            const size_t row = (size_t)sequence_at(s, i) * b.stride;
            if (SCORE)
                b.log_probabilities[row + s.place[i]] = a.target - a.top - logf(a.sum);
            else
                b.ids[row + s.length[i]] = sane(a.token);
        }
        if (SCORE || !last) {
            s.place[i]++;
            continue;
        }
        const int start = window_start(++s.length[i]);
        const bool anew = start != s.start[i];
        s.start[i] = start;
        s.place[i] = CAUSAL && anew ? 0 : s.length[i] - 1 - start;
    }
    __syncthreads();
}

/* One token of each sequence through the blocks of the model; but for keys and values, the last
   only if the head is asked. */
template <int N>
__device__ __forceinline__ void take_blocks(Shared<N> &s, const Batch &b)
{
    const int first = sequence_at(s, 0);
    for (int i = 0; i < BLOCKS; i++) {
        const Matrix *m = b.weights.matrices + i * PER_BLOCK;
        const float *vectors = b.weights.vectors + (size_t)i * 6 * DIM;
        const auto data = [&](int k) { return b.weights.base + (size_t)m[k].data * UNIT; };
        if (CAUSAL) {
            take_norm(s, vectors);
            take_heads(s, data(QUERY_KEY_VALUE), m[QUERY_KEY_VALUE], b.cache, i, first,
                       b.sequences);
            if (i + 1 == BLOCKS && !s.asked)
                return;
            take_attention(s, data(OUTPUT), m[OUTPUT], b.cache, i, first, b.sequences);
        }
        take_norm(s, vectors + 2 * DIM);
        take_field(s, data(FIELD), m[FIELD], m[VALUES].wide());
        if (m[VALUES].wide())
            add_wide_product(s, data(VALUES), m[VALUES], (int)m[FIELD].count);
        else
            add_product(s, data(VALUES), m[VALUES]);
        if (FFN) {
            take_norm(s, vectors + 4 * DIM);
            take_hidden(s, data(UP), m[UP]);
            add_product(s, data(DOWN), m[DOWN]);
        }
    }
}

/* TOGETHER: the blocks of a cluster share the head, and go from token to token together. */
template <int N, bool SCORE, bool TOGETHER>
static __global__ void __launch_bounds__(BATCH_THREADS, 1) many(const __grid_constant__ Batch b)
{
    CRYSTAL_DYNAMIC_SHARED(unsigned char, memory);
    Shared<N> &s = *(Shared<N> *)memory;
    Together<N> &t = *(Together<N> *)(memory + sizeof(Shared<N>));
    uint8_t *const tiles = memory + HEAD_SHARE<N>;
    if (threadIdx.x == 0) {
        const int blocks = TOGETHER ? b.blocks : 1, rank = (int)blockIdx.x % blocks;
        s.here = Here{rank, blocks, b.first + ((int)blockIdx.x - rank) * N};
    }
    __syncthreads();
    if (TOGETHER) {
        take_head_share(s, t, b.weights, tiles);
        meet_cluster();
    }
    begin<N, SCORE>(s, b);
    for (look<N, SCORE>(s); s.alive; look<N, SCORE>(s)) {
        take_tokens(s, b);
        take_blocks(s, b);
        if (s.asked) {
            take_norm(s, b.weights.vectors + (size_t)BLOCKS * 6 * DIM);
            if (TOGETHER)
                take_head_together<N, SCORE>(s, t, tiles, b);
            else
                take_head<N, SCORE>(s, b);
        }
        advance<N, SCORE>(s, b, TOGETHER ? t.inbox : s.seen, TOGETHER ? b.blocks : BATCH_WARPS);
    }
}
