/* One sequence: all blocks of the grid work on one token, and tell each other what they found.

   CLUSTER: the grid is one cluster; a result is stored into the shared memory of every block, and
   the cluster's barrier follows. Else results go through device memory and a barrier of our own. */

constexpr int MOST_BLOCKS = 256;

/* What every block gets from the others. A vector is written again only after another barrier than
   the one that it was read behind, so no block can be late to read it. */
struct Exchange {
    float y[DIM], attention[CAUSAL ? DIM : 1], neurons[MOST_NEURONS], hidden[FFN ? FFN : 1];
    float top[MOST_BLOCKS];
    int32_t best[MOST_BLOCKS], token;
};

/* In device memory, for one sequence at a time. */
struct OneRoom {
    unsigned arrived;
    Exchange exchange;
};

struct Others {
    OneRoom *room;
    Exchange *here; /* in shared memory */
    unsigned rank, blocks, meetings;
};

/* Every thread of every block comes here before any goes on, and sees what was written before. */
template <bool CLUSTER> __device__ __forceinline__ void meet(Others &o)
{
    if (CLUSTER)
        return meet_cluster();
    __syncthreads();
    o.meetings++;
    if (threadIdx.x == 0) {
        __threadfence();
        atomicAdd(&o.room->arrived, 1u);
        /* a count that wraps in a long text: before or behind is a signed difference */
        while ((int)(*(volatile unsigned *)&o.room->arrived - o.meetings * o.blocks) < 0) {
#ifdef CRYSTAL_CPU_SHIM
            __nanosleep(0);
#endif
        }
        __threadfence();
    }
    __syncthreads();
}

template <class T> __device__ __forceinline__ T *in_room(const Others &o, T *at)
{
    return (T *)((char *)&o.room->exchange + ((char *)at - (char *)o.here));
}

/* A word at ``offset`` in shared memory of every block. */
__device__ CRYSTAL_OUT_OF_LINE void put_everywhere(unsigned offset, unsigned blocks, unsigned word)
{
    CRYSTAL_DYNAMIC_SHARED(unsigned char, memory);
    for (unsigned to = 0; to < blocks; to++)
        put_there(memory + offset, to, word);
}

/* One thread tells all blocks; ``here`` is where their shared memory begins. */
template <bool CLUSTER>
__device__ __forceinline__ void tell(const Others &o, float *at, float value)
{
    const unsigned offset = (unsigned)((char *)at - (char *)o.here);
    if (CLUSTER)
        put_everywhere(offset, o.blocks, __float_as_uint(value));
    else
        __stcg(in_room(o, at), value);
}

/* The first ``o.blocks`` threads tell one block each. */
template <bool CLUSTER>
__device__ __forceinline__ void tell_token(const Others &o, int32_t *at, int32_t token)
{
    if (CLUSTER) {
        if (threadIdx.x < o.blocks)
            put_there(at, threadIdx.x, (unsigned)token);
    } else if (threadIdx.x == 0)
        __stcg(in_room(o, at), token);
}

/* What came, after a meeting. */
template <bool CLUSTER, class T> __device__ __forceinline__ T heard(const Others &o, T *at)
{
    return CLUSTER ? *at : __ldcg(in_room(o, at));
}
