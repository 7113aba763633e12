/* The kernel of many sequences: greedy text, or log probabilities of text that is given. */

/* ``ids`` [sequences][stride]: tokens, of which ``lengths`` are given; ``count`` more follow.
   Scoring, with ``targets`` [sequences][stride]: the ``count`` tokens of each row are read, and
   log_probabilities [sequences][stride] of the targets are written. ``logits`` [sequences][stride]
   [VOCABULARY] may be null. ``cache``: [sequences][BLOCKS][CACHE]. */
struct Batch {
    Weights weights;
    int32_t *ids;
    const int32_t *lengths, *targets;
    float *log_probabilities, *logits, *cache;
    int32_t sequences, stride, count;
};

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
__device__ __forceinline__ void begin(Shared<N> &s, const Batch &b, int first)
{
    for (int i = threadIdx.x; i < N * DIM; i += BATCH_THREADS)
        s.sums[i / DIM][i % DIM] = make_int2(0, 0);
    if ((int)threadIdx.x < N) {
        const int q = threadIdx.x, at = first + q;
        const int given = at >= b.sequences ? 0 : SCORE ? b.count : b.lengths[at];
        const int more = SCORE ? 0 : b.count;
        const bool there = given > 0 && given <= b.stride - more; /* others are left alone */
        s.length[q] = there ? given : 0;
        s.end[q] = there ? given + more : 0;
        s.start[q] = SCORE ? 0 : window_start(s.length[q]);
        s.place[q] = SCORE || CAUSAL || !there ? 0 : given - 1 - s.start[q];
    }
    __syncthreads();
}

template <int N, bool SCORE> __device__ __forceinline__ bool runs(const Shared<N> &s, int q)
{
    return SCORE ? s.place[q] < s.end[q] : s.length[q] < s.end[q];
}

/* Who still runs, and whether anybody's token is the last of those that are known. */
template <int N, bool SCORE> __device__ __forceinline__ void look(Shared<N> &s)
{
    if (threadIdx.x == 0) {
        s.alive = s.asked = 0;
        for (int q = 0; q < N; q++) {
            s.alive |= runs<N, SCORE>(s, q);
            const bool last = SCORE || s.start[q] + s.place[q] + 1 == s.length[q];
            s.asked |= runs<N, SCORE>(s, q) && last;
        }
    }
    __syncthreads();
}

template <int N>
__device__ __forceinline__ void take_tokens(Shared<N> &s, const Batch &b, int first)
{
    for (int i = threadIdx.x; i < N * DIM; i += BATCH_THREADS) {
        const int q = i / DIM, at = s.start[q] + s.place[q];
        const int32_t *ids = b.ids + (size_t)(first + q) * b.stride;
        const int token = at < s.length[q] ? sane(ids[at]) : 0;
        s.x[q][i % DIM] = embedded(b.weights, token, s.place[q], i % DIM);
    }
    __syncthreads();
}

/* ---- the head ---- */

__device__ __forceinline__ Seen nothing_seen()
{
    return Seen{-ENDLESS, 0.0f, -ENDLESS, VOCABULARY};
}

/* The first of equals stays; a lane sees its tokens in rising order but where some are FINE. */
__device__ __forceinline__ void see(Seen &a, float logit, int token)
{
    const bool better = logit > a.top || (FINE && logit == a.top && token < a.token);
    a.top = better ? logit : a.top;
    a.token = better ? token : a.token;
}

__device__ __forceinline__ void see_score(Seen &a, float logit, bool target)
{
    if (logit > a.top) {
        a.sum = add(mul(a.sum, exponential(sub(a.top, logit))), 1.0f);
        a.top = logit;
    } else
        a.sum = add(a.sum, exponential(sub(logit, a.top)));
    a.target = target ? logit : a.target;
}

__device__ __forceinline__ Seen joined_seen(Seen a, Seen b, bool score)
{
    if (b.top > a.top || (b.top == a.top && b.token < a.token)) {
        const Seen c = a;
        a = b, b = c;
    }
    if (score && b.sum > 0.0f)
        a.sum = add(a.sum, mul(b.sum, exponential(sub(b.top, a.top))));
    a.target = larger(a.target, b.target);
    return a;
}

/* Rows of the head over all warps; logits are never kept unless they are asked for. */
template <int N, bool SCORE>
__device__ __forceinline__ void take_head(Shared<N> &s, const Batch &b, int first)
{
    const Weights &w = b.weights;
    const Matrix m = w.matrices[HEAD];
    const uint8_t *data = w.base + (size_t)m.data * UNIT;
    const int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
    Seen seen[N / 4];
    int target[N / 4];
#pragma unroll
    for (int i = 0; i < N / 4; i++) {
        const int q = sequence_of(i), at = first + q;
        const bool there = SCORE && at < b.sequences;
        seen[i] = nothing_seen();
        target[i] = there ? b.targets[(size_t)at * b.stride + s.place[q]] : -1;
    }
    products<N, DIM_TILES>(s, data, m, [&](int token, int slot, float y, float bias,
                                           const float *) {
        const int q = sequence_of(slot);
        const float logit = add(y, bias);
        if (!SCORE)
            return see(seen[slot], token < VOCABULARY ? logit : -ENDLESS, token);
        if (token >= VOCABULARY)
            return;
        see_score(seen[slot], logit, token == target[slot]);
        if (b.logits && first + q < b.sequences)
            b.logits[((size_t)(first + q) * b.stride + s.place[q]) * VOCABULARY + token] = logit;
    });
#pragma unroll
    for (int i = 0; i < N / 4; i++) {
        Seen a = seen[i];
        for (int half = 4; half < 32; half *= 2) {
            Seen c;
            c.top = __shfl_xor_sync(EVERY, a.top, half);
            c.sum = __shfl_xor_sync(EVERY, a.sum, half);
            c.target = __shfl_xor_sync(EVERY, a.target, half);
            c.token = __shfl_xor_sync(EVERY, a.token, half);
            a = joined_seen(a, c, SCORE);
        }
        if (lane < 4)
            s.seen[warp][sequence_of(i)] = a;
    }
    __syncthreads();
}

/* The next token or the score of each sequence, and which place follows. */
template <int N, bool SCORE>
__device__ __forceinline__ void advance(Shared<N> &s, const Batch &b, int first)
{
    const int q = threadIdx.x, at = first + q;
    if (q < N && runs<N, SCORE>(s, q)) {
        const bool last = s.start[q] + s.place[q] + 1 == s.length[q];
        Seen a = s.seen[0][q];
        for (int warp = 1; (SCORE || last) && warp < BATCH_WARPS; warp++)
            a = joined_seen(a, s.seen[warp][q], SCORE);
        if (SCORE) {
            float *to = b.log_probabilities + (size_t)at * b.stride;
            to[s.place[q]++] = a.target - a.top - logf(a.sum);
        } else if (!last)
            s.place[q]++;
        else {
            b.ids[(size_t)at * b.stride + s.length[q]++] = sane(a.token);
            const int start = window_start(s.length[q]);
            const bool anew = start != s.start[q];
            s.start[q] = start;
            s.place[q] = CAUSAL && anew ? 0 : s.length[q] - 1 - start;
        }
    }
    __syncthreads();
}

template <int N, bool SCORE>
static __global__ void __launch_bounds__(BATCH_THREADS, 1) many(const Batch b)
{
    CRYSTAL_DYNAMIC_SHARED(unsigned char, memory);
    Shared<N> &s = *(Shared<N> *)memory;
    const Weights &w = b.weights;
    const int first = blockIdx.x * N;
    begin<N, SCORE>(s, b, first);
    for (look<N, SCORE>(s); s.alive; look<N, SCORE>(s)) {
        take_tokens(s, b, first);
        for (int i = 0; i < BLOCKS; i++) {
            const Matrix *m = w.matrices + i * PER_BLOCK;
            const float *vectors = w.vectors + (size_t)i * 6 * DIM;
            const auto data = [&](int k) { return w.base + (size_t)m[k].data * UNIT; };
            if (CAUSAL) {
                take_norm(s, vectors);
                take_heads(s, data(QUERY_KEY_VALUE), m[QUERY_KEY_VALUE], b.cache, i, first,
                           b.sequences);
                if (i + 1 == BLOCKS && !s.asked)
                    break;
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
        if (s.asked) {
            take_norm(s, w.vectors + (size_t)BLOCKS * 6 * DIM);
            take_head<N, SCORE>(s, b, first);
        }
        advance<N, SCORE>(s, b, first);
    }
}
