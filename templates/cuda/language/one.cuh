/* The kernel of one sequence: a launch writes ``count`` tokens, the weights stay on the chip. */

/* ``ids`` [given + count]. ``logits`` [count][VOCABULARY] or null. ``spare``: room for logits,
   weights and ranks [3][VOCABULARY], needed where a temperature is above 0. */
struct OneTask {
    Weights weights;
    OneRoom *room;
    float *cache, *logits, *spare;
    int32_t *ids;
    int32_t given, count, everywhere, cached;
    Draw how;
};

enum { VECTORS = (BLOCKS * 6 + 2) * DIM };

/* Which tiles are this block's, and where they will be. */
__device__ __forceinline__ uint32_t take_shares(const One &o)
{
    OneShared &s = *o.s;
    for (int i = threadIdx.x; i < MATRICES; i += ONE_THREADS) {
        s.matrices[i] = o.weights.matrices[i];
        s.shares[i] = share_of(i, s.matrices[i], (int)o.others.rank, (int)o.others.blocks,
                               o.everywhere);
    }
    __syncthreads();
    uint32_t used = 0;
    for (int i = 0; i < MATRICES; i++) {
        s.slots[i] = used; /* every thread writes the same */
        used += units_of(s.matrices[i], s.shares[i]);
    }
    __syncthreads();
    return used;
}

/* This block's tiles and the norms' vectors into shared memory; keys and values behind them. */
__device__ __forceinline__ void take_residence(
    One &o, unsigned char *memory, uint32_t used, bool cached)
{
    const OneShared &s = *o.s;
    const uint8_t *base = o.weights.base;
    for (int i = 0; i < MATRICES; i++) {
        const Matrix m = s.matrices[i];
        for (int j = threadIdx.x / 32; j < s.shares[i].count; j += ONE_WARPS) {
            copy_units(tile_of<true>(s, base, i, j), tile_of<false>(s, base, i, j), m.stride);
            if (has_more(m, s.shares[i].tile(j)))
                copy_units(more_of_tile<true>(s, base, i, j), more_of_tile<false>(s, base, i, j),
                           m.more_stride());
        }
    }
    float *vectors = (float *)(memory + (size_t)used * UNIT);
    for (int i = threadIdx.x; i < VECTORS; i += ONE_THREADS)
        vectors[i] = o.weights.vectors[i];
    o.vectors = vectors;
    o.kept = cached ? vectors + VECTORS : nullptr;
}

/* Logits of this block's tokens; the first of the largest, for all threads of all blocks. */
template <bool CLUSTER, bool RESIDENT>
__device__ __forceinline__ int32_t take_head(One &o, float *logits)
{
    OneShared &s = *o.s;
    const float size = take_norm(s, o.vectors + (size_t)BLOCKS * 6 * DIM);
    Candidate c{-ENDLESS, VOCABULARY};
    take_rows<RESIDENT>(o, HEAD, size, [&](int token, const float *row, float product) {
        const float logit = add(product, row[16 * BIAS]);
        if (token >= VOCABULARY)
            return;
        if (logits)
            __stcg(logits + token, logit);
        if (before(logit, token, c.top, c.token))
            c = Candidate{logit, token};
    });
    c = block_first(s, c);
    const Others &others = o.others;
    if (threadIdx.x == 0)
        tell<CLUSTER>(others, s.exchange.top + others.rank, c.top);
    tell_token<CLUSTER>(others, s.exchange.best + others.rank, c.token);
    meet<CLUSTER>(o.others);
    for (unsigned i = threadIdx.x & 31; i < others.blocks; i += 32) {
        const float top = heard<CLUSTER>(others, s.exchange.top + i);
        const int32_t token = heard<CLUSTER>(others, s.exchange.best + i);
        if (before(top, token, c.top, c.token))
            c = Candidate{top, token};
    }
    return warp_first(c).token;
}

template <bool CLUSTER, bool RESIDENT>
__device__ __forceinline__ int32_t choose(One &o, const OneTask &task, int made)
{
    Draw how = task.how;
    float *logits = task.logits ? task.logits + (size_t)made * VOCABULARY : nullptr;
    const bool drawn = how.temperature > 0.0f;
    if (drawn && !logits)
        logits = task.spare;
    int32_t token = take_head<CLUSTER, RESIDENT>(o, logits);
    if (!drawn)
        return token;
    if (o.others.rank == 0) {
        how.seed += (uint64_t)(made + 1) * 0x9e3779b97f4a7c15u;
        Ranking r{logits, task.spare + VOCABULARY, (int32_t *)(task.spare + 2 * (size_t)VOCABULARY),
                  0, {0.0f, 0}};
        token = draw(*o.s, r, how);
        tell_token<CLUSTER>(o.others, &o.s->exchange.token, token);
    }
    meet<CLUSTER>(o.others);
    return heard<CLUSTER>(o.others, &o.s->exchange.token);
}

/* One token at its place; whether ``last``, or only what later places need of it. */
template <bool CLUSTER, bool RESIDENT>
__device__ __forceinline__ void take_token(One &o, int token, int place, bool last)
{
    __syncthreads();
    for (int i = threadIdx.x; i < DIM; i += ONE_THREADS)
        o.s->x[i] = embedded(o.weights, token, place, i);
    __syncthreads();
    for (int i = 0; i < BLOCKS; i++) {
        const bool all = last || i + 1 < BLOCKS;
        if (CAUSAL)
            take_attention<CLUSTER, RESIDENT>(o, i, place, all);
        if (!all)
            return;
        take_field<CLUSTER, RESIDENT>(o, i);
        if (FFN)
            take_hidden<CLUSTER, RESIDENT>(o, i);
    }
}

template <bool CLUSTER, bool RESIDENT>
static __global__ void __launch_bounds__(ONE_THREADS, 1) one(const __grid_constant__ OneTask task)
{
    CRYSTAL_DYNAMIC_SHARED(unsigned char, memory);
    OneShared &s = *(OneShared *)memory;
    const Others others{task.room, &s.exchange, blockIdx.x, gridDim.x, 0};
    One o{task.weights, &s, task.weights.vectors, task.cache, nullptr, others,
          task.everywhere != 0};
    int n = task.given, start = window_start(n), place = CAUSAL ? 0 : n - 1 - start;
    for (int i = start + threadIdx.x; i < n; i += ONE_THREADS)
        s.window[i % CONTEXT] = sane(task.ids[i]);
    const uint32_t used = take_shares(o);
    if (RESIDENT)
        take_residence(o, memory + RESIDENCE, used, task.cached != 0);
    meet<CLUSTER>(o.others);
    for (const int end = n + task.count; n < end;) {
        const bool last = start + place + 1 == n;
        take_token<CLUSTER, RESIDENT>(o, s.window[(start + place) % CONTEXT], place, last);
        place++;
        if (!last)
            continue;
        const int32_t token = sane(choose<CLUSTER, RESIDENT>(o, task, n - task.given));
        if (blockIdx.x == 0 && threadIdx.x == 0)
            task.ids[n] = token;
        if (threadIdx.x == 0)
            s.window[n % CONTEXT] = token;
        n++;
        place = CAUSAL && window_start(n) != start ? 0 : n - 1 - window_start(n);
        start = window_start(n);
        __syncthreads();
    }
    meet<CLUSTER>(o.others); /* nobody leaves while others may still write to its memory */
}
