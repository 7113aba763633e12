/* The head for many sequences: what is seen of its logits, which are never kept unless asked for.

   A block reads all of it from L2 for its own sequences; or the blocks of a cluster keep a share of
   its rows each in shared memory, and tell each other the digits of all their sequences. */

/* ``ids`` [sequences][stride]: tokens, of which ``lengths`` are given; ``count`` more follow.
   Scoring, with ``targets`` [sequences][stride]: the ``count`` tokens of each row are read, and
   log_probabilities [sequences][stride] of the targets are written. ``logits`` [sequences][stride]
   [VOCABULARY] may be null. ``cache``: [sequences][BLOCKS][CACHE]. ``blocks``: of a cluster, or 1.
   ``first``: sequence of the launch. */
struct Batch {
    Weights weights;
    int32_t *ids;
    const int32_t *lengths, *targets;
    float *log_probabilities, *logits, *cache;
    int32_t sequences, stride, count, blocks, first;
};

/* Number ``i`` of the sequences whose progress a block of threads knows. */
template <int N> __device__ __forceinline__ int sequence_at(const Shared<N> &s, int i)
{
    return s.here.first + (s.here.rank + i / N) % s.here.blocks * N + i % N;
}

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

/* What a warp sees of rows of the head, for N sequences: to [N]. token_of(row), and row_of(q):
   where it stands in [sequences][stride], or -1. */
template <int N, bool SCORE, bool HERE, class Inputs, class Token, class Row>
__device__ __forceinline__ void see_rows(const Inputs &inputs, const uint8_t *data, const Matrix &m,
                                         int warp, int warps, const Batch &b, Token token_of,
                                         Row row_of, Seen *to)
{
    const int lane = threadIdx.x & 31;
    Seen seen[N / 4];
    int target[N / 4];
#pragma unroll
    for (int i = 0; i < N / 4; i++) {
        const int64_t row = SCORE ? row_of(sequence_of(i)) : -1;
        seen[i] = nothing_seen();
        target[i] = row >= 0 ? b.targets[row] : -1;
    }
    const auto one = [&](int r, int slot, float y, float bias, const float *) {
        const int token = token_of(r);
        const float logit = add(y, bias);
        if (!SCORE)
            return see(seen[slot], token < VOCABULARY ? logit : -ENDLESS, token);
        if (token >= VOCABULARY)
            return;
        see_score(seen[slot], logit, token == target[slot]);
        const int64_t row = b.logits ? row_of(sequence_of(slot)) : -1;
        if (row >= 0)
            b.logits[(size_t)row * VOCABULARY + token] = logit;
    };
    products<N, HERE>(inputs, data, m, warp, warps, one);
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
            to[sequence_of(i)] = a;
    }
}

/* Where in [sequences][stride] the token is that sequence ``i`` of those known is at, or -1. */
template <int N>
__device__ __forceinline__ int64_t row_at(const Shared<N> &s, const Batch &b, int i)
{
    const int at = sequence_at(s, i);
    return at < b.sequences ? (int64_t)at * b.stride + s.place[i] : -1;
}

/* All rows for the sequences of this block: s.seen [BATCH_WARPS]. */
template <int N, bool SCORE>
__device__ CRYSTAL_OUT_OF_LINE void take_head(Shared<N> &s, const Batch &b)
{
    const Matrix m = b.weights.matrices[HEAD];
    const int warp = threadIdx.x / 32;
    see_rows<N, SCORE, false>(
        Own<N>{s}, b.weights.base + (size_t)m.data * UNIT, m, warp, BATCH_WARPS, b,
        [](int r) { return r; }, [&](int q) { return row_at(s, b, q); }, s.seen[warp]);
    __syncthreads();
}

/* ---- a head that the blocks of a cluster share ---- */

constexpr int HEAD_WORDS = 4 * (DIM_TILES | 1); /* odd, so that banks differ */
constexpr int ABREAST = 16;                     /* sequences that a tile of rows meets at once */
constexpr int TEAMS = 2, TEAM = BATCH_WARPS / TEAMS; /* of warps, which meet other sequences */

template <int N> struct Together {
    uint4 digits[MOST_CLUSTER * N][HEAD_WORDS]; /* of all sequences of the cluster, by rank */
    float size[MOST_CLUSTER * N];
    Seen seen[TEAM][MOST_CLUSTER * N];
    Seen inbox[MOST_CLUSTER][N]; /* what the others have seen of this block's sequences */
    Share share;                 /* this block's tiles of the head, */
    Matrix mine;                 /* which are a matrix of their own in shared memory */
};

/* A block's tiles begin here. */
template <int N>
constexpr int HEAD_SHARE = units(sizeof(Shared<N>) + sizeof(Together<N>), UNIT) * UNIT;

/* Sequences ``from`` on, with their digits in registers where HELD. */
template <int N, bool HELD> struct Abreast {
    const Together<N> &t;
    int from;
    uint4 held[ABREAST / 8][HELD ? DIM_TILES : 1];

    __device__ __forceinline__ Abreast(const Together<N> &together, int first)
        : t(together), from(first)
    {
#pragma unroll
        for (int n = 0; HELD && n < ABREAST / 8; n++)
#pragma unroll
            for (int k = 0; k < DIM_TILES; k++)
                held[n][HELD ? k : 0] = found(n, k);
    }
    __device__ __forceinline__ uint4 found(int n, int k) const
    {
        const int lane = threadIdx.x & 31;
        return t.digits[from + n * 8 + lane / 4][k * 4 + (lane & 3)];
    }
    __device__ __forceinline__ uint4 digits(int n, int k) const
    {
        return HELD ? held[n][HELD ? k : 0] : found(n, k);
    }
    __device__ __forceinline__ float size(int slot) const
    {
        return t.size[from + sequence_of(slot)];
    }
};

/* Copies this block's tiles of the head to ``tiles``. */
template <int N>
__device__ CRYSTAL_OUT_OF_LINE void take_head_share(
    const Shared<N> &s, Together<N> &t, const Weights &w, uint8_t *tiles)
{
    const Matrix m = w.matrices[HEAD];
    const Share share = share_of(HEAD, m, s.here.rank, s.here.blocks, false);
    const uint8_t *from = w.base + (size_t)m.data * UNIT;
    Matrix mine = m;
    mine.rows = mine.group = (uint32_t)share.count;
    mine.fine = (uint32_t)share.more;
    mine.more = mine.rows * m.stride;
    for (int j = threadIdx.x / 32; j < share.count; j += BATCH_WARPS)
        copy_units(tiles + (size_t)j * m.stride * UNIT,
                   from + (size_t)share.tile(j) * m.stride * UNIT, m.stride);
    for (int j = threadIdx.x / 32; j < share.more; j += BATCH_WARPS)
        copy_units(tiles + (size_t)(mine.more + more_of(mine, j)) * UNIT,
                   from + (size_t)(m.more + more_of(m, share.tile(j))) * UNIT, m.more_stride());
    if (threadIdx.x == 0)
        t.share = share, t.mine = mine;
}

/* Digits of this block's sequences to every block. */
template <int N>
__device__ __forceinline__ void tell_digits(const Shared<N> &s, Together<N> &t)
{
    const Here here = s.here;
    constexpr int WORDS = 4 * DIM_TILES;
    for (int i = threadIdx.x; i < N * WORDS * here.blocks; i += BATCH_THREADS) {
        const int q = i / WORDS % N, word = i % WORDS;
        put_there(&t.digits[here.rank * N + q][word], (unsigned)(i / WORDS / N), s.digits[q][word]);
    }
    for (int i = threadIdx.x; i < N * here.blocks; i += BATCH_THREADS)
        put_there(&t.size[here.rank * N + i % N], (unsigned)(i / N),
                  __float_as_uint(s.size[i % N]));
}

/* What this block has seen of every sequence, to the block that it belongs to. */
template <int N, bool SCORE>
__device__ __forceinline__ void tell_seen(const Shared<N> &s, Together<N> &t)
{
    const Here here = s.here;
    for (int i = threadIdx.x; i < N * here.blocks; i += BATCH_THREADS) {
        Seen a = t.seen[0][i];
        for (int warp = 1; warp < TEAM; warp++)
            a = joined_seen(a, t.seen[warp][i], SCORE);
        put_there(&t.inbox[here.rank][i % N], (unsigned)(i / N),
                  make_uint4(__float_as_uint(a.top), __float_as_uint(a.sum),
                             __float_as_uint(a.target), (unsigned)a.token));
    }
}

/* This block's rows for all sequences of the cluster; then t.inbox [blocks] of its own. */
template <int N, bool SCORE>
__device__ CRYSTAL_OUT_OF_LINE void take_head_together(
    const Shared<N> &s, Together<N> &t, const uint8_t *tiles, const Batch &b)
{
    const int rank = s.here.rank, count = N * s.here.blocks;
    const int warp = threadIdx.x / 32 % TEAM, team = threadIdx.x / 32 / TEAM;
    tell_digits(s, t);
    meet_cluster();
    for (int from = team * ABREAST; from < count; from += TEAMS * ABREAST)
        see_rows<ABREAST, SCORE, true>(
            Abreast<N, !SCORE && DIM_TILES <= 4>(t, from), tiles, t.mine, warp, TEAM, b,
            [&](int r) { return FINE ? r : t.share.tile(r / 16) * 16 + r % 16; },
            [&](int q) {
                const int i = from + q; /* by rank; those known begin with this block's */
                return i < count ? row_at(s, b, (i + count - rank * N) % count) : -1;
            },
            t.seen[warp] + from);
    __syncthreads();
    tell_seen<N, SCORE>(s, t);
    meet_cluster();
}
