/* What runs: a grid of blocks of warps of threads, and whether each thread waits. */

#ifndef CRYSTAL_SHIM_GRID_H
#define CRYSTAL_SHIM_GRID_H

#include <functional>
#include <vector>

/* The static shared memory of the program (types.h); absent when no kernel has any. */
extern char __start_crystal_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_crystal_shared[] __attribute__((weak, visibility("hidden")));

namespace crystal_shim {

enum Wait { READY, AT_WARP, AT_BLOCK, AT_GRID, SPINNING, DONE, WAITS };

constexpr unsigned LANES = 32;
constexpr unsigned char GARBAGE = 0xCD; /* memory that nobody has written holds this */

struct Place {
    const char *file;
    int line;
    bool operator==(const Place &other) const
    {
        return line == other.line && strcmp(file, other.file) == 0;
    }
};

/* What a warp does together: `lanes[i]` is the payload of lane i, or null when it takes no part. */
typedef void (*Combine)(void *const lanes[LANES]);

struct Block;

struct Thread {
    Fiber fiber;
    Wait wait = READY;
    uint3 index = {0, 0, 0}; /* threadIdx */
    unsigned linear = 0;
    Block *block = nullptr;
    Place place = {"", 0};
    unsigned mask = 0;         /* lanes of a warp's operation */
    Combine combine = nullptr; /* and what they do */
    void *payload = nullptr;
};

struct Block {
    uint3 index = {0, 0, 0}; /* blockIdx */
    std::vector<Thread> threads;
    std::vector<unsigned> lanes[WAITS]; /* per warp: the lanes that wait so */
    unsigned total[WAITS] = {0, 0, 0, 0, 0, 0};
    char *dynamic = nullptr; /* its dynamic shared memory */
    std::vector<char> fixed; /* its static shared memory while another block runs */
};

struct Grid {
    const char *name = "";
    dim3 blocks, threads;
    size_t shared = 0;
    bool together = false; /* all blocks are resident */
    std::function<void()> body;
    std::vector<Block> *resident = nullptr;
    bool failed = false;
    unsigned long steps = 0; /* waits and exits, spinning apart: what progress is */
};

static Grid *grid = nullptr;
static Thread *current = nullptr;
static Fiber scheduler;
static Stacks stacks;

static inline void set_wait(Thread &thread, Wait wait)
{
    Block &block = *thread.block;
    const unsigned warp = thread.linear / LANES, bit = 1u << thread.linear % LANES;
    block.lanes[thread.wait][warp] &= ~bit;
    --block.total[thread.wait];
    block.lanes[wait][warp] |= bit;
    ++block.total[wait];
    thread.wait = wait;
}

/* The current thread stops here until the scheduler says READY. */
static inline void wait_as(Wait wait, Place place)
{
    Thread &thread = *current;
    thread.place = place;
    set_wait(thread, wait);
    grid->steps += wait != SPINNING;
    switch_fiber(thread.fiber, scheduler);
}

/* memcpy that AddressSanitizer does not see: a block's shared memory with its red zones. */
__attribute__((no_sanitize("address"), noinline)) static void
copy_raw(char *to, const char *from, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        *(volatile char *)(to + i) = from[i];
}

static inline size_t fixed_bytes()
{
    return (size_t)(__stop_crystal_shared - __start_crystal_shared);
}

__attribute__((no_sanitize("address"), noinline)) static void copy_garbage()
{
    for (size_t i = 0; i < fixed_bytes(); ++i)
        *(volatile char *)(__start_crystal_shared + i) = (char)GARBAGE;
}

} // namespace crystal_shim

#define threadIdx (::crystal_shim::current->index)
#define blockIdx (::crystal_shim::current->block->index)
#define blockDim (::crystal_shim::grid->threads)
#define gridDim (::crystal_shim::grid->blocks)
#define warpSize 32

#define CRYSTAL_DYNAMIC_SHARED(type, name) \
    type *const name = (type *)::crystal_shim::current->block->dynamic

#endif
