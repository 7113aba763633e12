/* Barriers, shuffles and votes. */

#ifndef CRYSTAL_SHIM_WARP_H
#define CRYSTAL_SHIM_WARP_H

#define CRYSTAL_HERE (::crystal_shim::Place{__FILE__, __LINE__})

namespace crystal_shim {

static inline unsigned lane_id() { return current->linear % LANES; }

/* All lanes of `mask` meet; `combine` then acts on their payloads at once. */
static inline void warp_meet(Place place, unsigned mask, Combine combine, void *payload)
{
    Thread &thread = *current;
    thread.mask = mask;
    thread.combine = combine;
    thread.payload = payload;
    if (!(mask >> lane_id() & 1))
        return fail_plain("a lane is not in its own mask");
    wait_as(AT_WARP, place);
}

static inline void nothing(void *const[LANES]) {}

static inline void sync_warp(Place place, unsigned mask = 0xFFFFFFFFu)
{
    warp_meet(place, mask, nothing, nullptr);
}

static inline Vote sync_block(Place place, int value)
{
    Vote vote = {value, 0, 0};
    current->payload = &vote;
    wait_as(AT_BLOCK, place);
    return vote;
}

static inline void sync_grid(Place place)
{
    if (!grid->together)
        return fail_plain("a grid barrier needs CRYSTAL_LAUNCH_TOGETHER");
    wait_as(AT_GRID, place);
}

/* The same place in the dynamic shared memory of another resident block (a cluster's mapa). */
template <class T> static inline T *peer(T *pointer, unsigned block)
{
    const char *const own = current->block->dynamic;
    const size_t offset = (size_t)((const char *)pointer - own);
    if ((const char *)pointer >= own && offset < grid->shared)
        for (Block &other : *grid->resident)
            if (other.index.x == block)
                return (T *)(other.dynamic + offset);
    fail_plain("a pointer to another block's shared memory names no resident block");
    return pointer;
}

template <class T> struct Shuffle {
    T in, out;
    unsigned source;
};

/* A lane that takes no part gives garbage. */
template <class T> static void shuffle(void *const lanes[LANES])
{
    for (unsigned lane = 0; lane < LANES; ++lane) {
        if (!lanes[lane])
            continue;
        Shuffle<T> &mine = *(Shuffle<T> *)lanes[lane];
        const void *from = lanes[mine.source];
        memset(&mine.out, GARBAGE, sizeof(T));
        if (from)
            mine.out = ((const Shuffle<T> *)from)->in;
    }
}

template <class T> static inline T shuffled(Place place, unsigned mask, T value, unsigned source)
{
    Shuffle<T> mine = {value, value, source % LANES};
    warp_meet(place, mask, shuffle<T>, &mine);
    return mine.out;
}

template <class T>
static inline T shfl(Place place, unsigned mask, T value, int source, int width = 32)
{
    const unsigned first = lane_id() & ~((unsigned)width - 1);
    return shuffled(place, mask, value, first | ((unsigned)source & ((unsigned)width - 1)));
}

template <class T>
static inline T shfl_up(Place place, unsigned mask, T value, unsigned delta, int width = 32)
{
    const unsigned lane = lane_id(), within = lane & ((unsigned)width - 1);
    return shuffled(place, mask, value, within < delta ? lane : lane - delta);
}

template <class T>
static inline T shfl_down(Place place, unsigned mask, T value, unsigned delta, int width = 32)
{
    const unsigned lane = lane_id(), within = lane & ((unsigned)width - 1);
    return shuffled(place, mask, value, within + delta < (unsigned)width ? lane + delta : lane);
}

template <class T>
static inline T shfl_xor(Place place, unsigned mask, T value, int bits, int width = 32)
{
    const unsigned lane = lane_id(), source = lane ^ (unsigned)bits;
    const unsigned end = (lane & ~((unsigned)width - 1)) + (unsigned)width;
    return shuffled(place, mask, value, source < end ? source : lane);
}

struct Ballot {
    uint64_t value;
    unsigned bits, present;
    uint64_t lowest, highest, sum, all, any;
};

static void ballot_lanes(void *const lanes[LANES])
{
    Ballot total = {0, 0, 0, ~0ull, 0, 0, ~0ull, 0};
    for (unsigned lane = 0; lane < LANES; ++lane) {
        if (!lanes[lane])
            continue;
        const uint64_t value = ((const Ballot *)lanes[lane])->value;
        total.present |= 1u << lane;
        total.bits |= (value != 0 ? 1u : 0u) << lane;
        total.lowest = value < total.lowest ? value : total.lowest;
        total.highest = value > total.highest ? value : total.highest;
        total.sum += value;
        total.all &= value;
        total.any |= value;
    }
    for (unsigned lane = 0; lane < LANES; ++lane)
        if (lanes[lane])
            *(Ballot *)lanes[lane] = total;
}

static inline Ballot ballot(Place place, unsigned mask, uint64_t value)
{
    Ballot mine = {value, 0, 0, 0, 0, 0, 0, 0};
    warp_meet(place, mask, ballot_lanes, &mine);
    return mine;
}

/* Signed numbers keep their order when moved up by 2^31. */
constexpr uint64_t MOVED = 1ull << 31;
static inline uint64_t ordered(int value) { return (uint64_t)((int64_t)value + (int64_t)MOVED); }
static inline uint64_t ordered(unsigned value) { return value; }
static inline int as(int, uint64_t value) { return (int)((int64_t)value - (int64_t)MOVED); }
static inline unsigned as(unsigned, uint64_t value) { return (unsigned)value; }

template <class T> static inline T reduce_min(Place place, unsigned mask, T value)
{
    return as(value, ballot(place, mask, ordered(value)).lowest);
}

template <class T> static inline T reduce_max(Place place, unsigned mask, T value)
{
    return as(value, ballot(place, mask, ordered(value)).highest);
}

template <class T> static inline T reduce_add(Place place, unsigned mask, T value)
{
    return (T)(unsigned)ballot(place, mask, (unsigned)value).sum;
}

} // namespace crystal_shim

#define __syncthreads() ((void)::crystal_shim::sync_block(CRYSTAL_HERE, 0))
#define __syncthreads_count(value) (::crystal_shim::sync_block(CRYSTAL_HERE, (value)).count)
#define __syncthreads_or(value) (__syncthreads_count((value) != 0) != 0)
#define __syncthreads_and(value) (__syncthreads_count((value) == 0) == 0)
#define CRYSTAL_GRID_SYNC() ::crystal_shim::sync_grid(CRYSTAL_HERE)
#define __syncwarp(...) CRYSTAL_SYNCWARP(__VA_ARGS__ __VA_OPT__(, ) 0xFFFFFFFFu)
#define CRYSTAL_SYNCWARP(mask, ...) ::crystal_shim::sync_warp(CRYSTAL_HERE, mask)
#define __shfl_sync(...) ::crystal_shim::shfl(CRYSTAL_HERE, __VA_ARGS__)
#define __shfl_up_sync(...) ::crystal_shim::shfl_up(CRYSTAL_HERE, __VA_ARGS__)
#define __shfl_down_sync(...) ::crystal_shim::shfl_down(CRYSTAL_HERE, __VA_ARGS__)
#define __shfl_xor_sync(...) ::crystal_shim::shfl_xor(CRYSTAL_HERE, __VA_ARGS__)
#define __ballot_sync(mask, value) (::crystal_shim::ballot(CRYSTAL_HERE, mask, (value) != 0).bits)
#define __any_sync(mask, value) (__ballot_sync(mask, value) != 0)
#define __all_sync(mask, value) (__ballot_sync(mask, (value) == 0) == 0)
#define __reduce_add_sync(...) ::crystal_shim::reduce_add(CRYSTAL_HERE, __VA_ARGS__)
#define __reduce_min_sync(...) ::crystal_shim::reduce_min(CRYSTAL_HERE, __VA_ARGS__)
#define __reduce_max_sync(...) ::crystal_shim::reduce_max(CRYSTAL_HERE, __VA_ARGS__)
#define __reduce_or_sync(mask, value) \
    ((unsigned)::crystal_shim::ballot(CRYSTAL_HERE, mask, (unsigned)(value)).any)
#define __reduce_and_sync(mask, value) \
    ((unsigned)::crystal_shim::ballot(CRYSTAL_HERE, mask, (unsigned)(value)).all)

#endif
