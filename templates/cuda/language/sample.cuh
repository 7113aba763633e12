/* Drawing a token as the C runtime does: the same sums in the same order, so the same text. One
   block of threads works; what must be a chain of additions is one. */

struct Candidate {
    float top;
    int32_t token;
};

/* In falling order, the first of equals before the others. */
__device__ __forceinline__ bool before(float a, int32_t i, float b, int32_t j)
{
    return a > b || (a == b && i < j);
}

__device__ __forceinline__ Candidate warp_first(Candidate c)
{
    for (int half = 16; half; half /= 2) {
        const float top = __shfl_xor_sync(EVERY, c.top, half);
        const int32_t token = __shfl_xor_sync(EVERY, c.token, half);
        if (before(top, token, c.top, c.token))
            c = Candidate{top, token};
    }
    return c;
}

/* The first of all threads, known to all. */
__device__ __forceinline__ Candidate block_first(OneShared &s, Candidate c)
{
    const int warp = threadIdx.x / 32, lane = threadIdx.x & 31;
    c = warp_first(c);
    __syncthreads();
    if (lane == 0)
        s.tops[warp] = c.top, s.tokens[warp] = c.token;
    __syncthreads();
    for (int i = 0; i < ONE_WARPS; i++)
        if (before(s.tops[i], s.tokens[i], c.top, c.token))
            c = Candidate{s.tops[i], s.tokens[i]};
    return c;
}

/* SplitMix64 of a state that was moved on: [0, 1), 24 bits. */
__device__ __forceinline__ float uniform(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return mul((float)(uint32_t)((z ^ z >> 31) >> 40), 1.0f / 16777216.0f);
}

/* Logits [VOCABULARY], room for as many weights and ranks; all in device memory. */
struct Ranking {
    const float *logits;
    float *weights;
    int32_t *order, known;
    Candidate mine; /* the first of this thread's that has no rank */
};

/* This thread's first after ``last``. */
__device__ __forceinline__ Candidate first_after(const float *logits, Candidate last)
{
    Candidate c{-ENDLESS, VOCABULARY};
    for (int i = threadIdx.x; i < VOCABULARY; i += ONE_THREADS) {
        const float a = __ldcg(logits + i);
        if (before(last.top, last.token, a, i) && before(a, i, c.top, c.token))
            c = Candidate{a, i};
    }
    return c;
}

/* The i-th in rank, i at most one more than has been asked for. All threads. */
__device__ __forceinline__ int32_t ranked(OneShared &s, Ranking &r, int32_t i)
{
    if (i == r.known) {
        const Candidate first = block_first(s, r.mine);
        if (first.token == r.mine.token)
            r.mine = first_after(r.logits, first);
        if (threadIdx.x == 0)
            r.order[i] = first.token;
        r.known++;
        __syncthreads();
    }
    return r.order[i];
}

/* How many of the likeliest may be drawn; their weight together in ``sum``. */
__device__ __forceinline__ int32_t keep_likely(
    OneShared &s, Ranking &r, const Draw &how, float all, float &sum)
{
    const bool limited = how.top_k > 0 && how.top_k < VOCABULARY;
    const int32_t most = limited ? how.top_k : VOCABULARY;
    if (limited)
        all = 0.0f;
    for (int32_t i = 0; limited && i < most; i++)
        all = add(all, r.weights[ranked(s, r, i)]);
    sum = 0.0f;
    for (int32_t i = 0; i < most; i++) {
        sum = add(sum, r.weights[ranked(s, r, i)]);
        if (how.top_p < 1.0f && sum >= mul(all, how.top_p))
            return i + 1;
    }
    return most;
}

/* The token at which the weights added up pass ``goal``; by rank, or by number. */
__device__ __forceinline__ int32_t walk(const Ranking &r, bool by_rank, int32_t n, float goal)
{
    float sum = 0.0f;
    int32_t id = 0;
    for (int32_t i = 0; i < n && !(sum > goal); i++) {
        id = by_rank ? r.order[i] : i;
        sum = add(sum, r.weights[id]);
    }
    return id;
}

/* A token, for all threads of the block. */
__device__ CRYSTAL_OUT_OF_LINE int32_t draw(OneShared &s, Ranking r, Draw how)
{
    r.known = 0;
    r.mine = first_after(r.logits, Candidate{ENDLESS, -1});
    const Candidate top = block_first(s, r.mine);
    for (int i = threadIdx.x; i < VOCABULARY; i += ONE_THREADS)
        r.weights[i] = exponential(divide(sub(__ldcg(r.logits + i), top.top), how.temperature));
    __syncthreads();
    const float all = total(r.weights, VOCABULARY), u = uniform(how.seed);
    float sum = all;
    int32_t kept = VOCABULARY;
    const bool by_rank = (how.top_k > 0 && how.top_k < VOCABULARY) || how.top_p < 1.0f;
    if (by_rank)
        kept = keep_likely(s, r, how, all, sum);
    __syncthreads();
    if (threadIdx.x == 0)
        s.tokens[0] = walk(r, by_rank, kept, mul(u, sum));
    __syncthreads();
    return s.tokens[0];
}
