/* Which thread runs next, when waiting ends, and what is said when it never can. */

#ifndef CRYSTAL_SHIM_SCHEDULE_H
#define CRYSTAL_SHIM_SCHEDULE_H

namespace crystal_shim {

constexpr unsigned long SPIN_LIMIT = 1ul << 20; /* rounds in which threads only spin */

/* The order of threads: a correct kernel gives the same in each. */
struct Order {
    enum { FORWARD, REVERSE, RANDOM } kind = FORWARD;
    uint64_t state = 1;

    Order()
    {
        const char *text = getenv("CRYSTAL_SHIM_ORDER");
        if (!text || !strcmp(text, "forward"))
            return;
        kind = strcmp(text, "reverse") ? RANDOM : REVERSE;
        if (!strncmp(text, "random:", 7))
            state = strtoull(text + 7, nullptr, 10) * 2 + 1;
    }

    unsigned below(unsigned limit)
    {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        return (unsigned)((state >> 33) % limit);
    }

    /* Position `i` of `count` in this order; `turn` is a number in [0, count) for the random one. */
    unsigned at(unsigned i, unsigned count, unsigned turn) const
    {
        return kind == FORWARD ? i : kind == REVERSE ? count - 1 - i : (i + turn) % count;
    }

    /* One of the set bits of `mask`, which is not 0. */
    unsigned bit(unsigned mask)
    {
        if (kind == FORWARD)
            return (unsigned)__builtin_ctz(mask);
        if (kind == REVERSE)
            return 31 - (unsigned)__builtin_clz(mask);
        for (unsigned skip = below((unsigned)__builtin_popcount(mask)); skip; --skip)
            mask &= mask - 1;
        return (unsigned)__builtin_ctz(mask);
    }
};

static Order order;

/* The launch fails with one sentence; only the first is said. */
static void fail(const Block &block, const char *what, const Thread &one, const Thread &other)
{
    if (grid->failed)
        return;
    grid->failed = true;
    fprintf(stderr, "%s: %s in block (%u, %u, %u): thread %u waits at %s:%d while thread %u ",
            grid->name, what, block.index.x, block.index.y, block.index.z, one.linear,
            one.place.file, one.place.line, other.linear);
    if (other.wait == DONE)
        fprintf(stderr, "has exited\n");
    else
        fprintf(stderr, "waits at %s:%d\n", other.place.file, other.place.line);
}

static void fail_plain(const char *what)
{
    if (!grid->failed)
        fprintf(stderr, "%s: %s\n", grid->name, what);
    grid->failed = true;
}

/* End the wait of every thread of the block that waits so. */
static void release(Block &block, Wait wait)
{
    if (block.total[wait] == 0)
        return;
    for (Thread &thread : block.threads)
        if (thread.wait == wait)
            set_wait(thread, READY);
}

/* The warp of `last`, which just arrived, acts once all lanes of the mask stand at the same place. */
static void settle_warp(Block &block, Thread &last)
{
    const unsigned warp = last.linear / LANES;
    if ((last.mask & block.lanes[AT_WARP][warp]) != last.mask)
        return;
    void *payloads[LANES] = {};
    for (unsigned lane = 0; lane < LANES; ++lane) {
        if (!(last.mask >> lane & 1))
            continue;
        Thread &thread = block.threads[warp * LANES + lane];
        if (thread.combine != last.combine || thread.mask != last.mask ||
            !(thread.place == last.place))
            return fail(block, "warp divergence", last, thread);
        payloads[lane] = thread.payload;
    }
    last.combine(payloads);
    for (unsigned mask = last.mask; mask; mask &= mask - 1)
        set_wait(block.threads[warp * LANES + (unsigned)__builtin_ctz(mask)], READY);
}

/* A value of every thread, made one: __syncthreads_or, _and, _count. */
struct Vote {
    int value, any, count;
};

/* All threads have arrived: at the same barrier? */
static void settle_block(Block &block)
{
    if (block.total[AT_BLOCK] != block.threads.size())
        return;
    int count = 0;
    for (Thread &thread : block.threads) {
        if (!(thread.place == block.threads[0].place))
            return fail(block, "barrier divergence", block.threads[0], thread);
        count += ((Vote *)thread.payload)->value != 0;
    }
    for (Thread &thread : block.threads)
        ((Vote *)thread.payload)->count = count;
    release(block, AT_BLOCK);
}

/* Nobody in the block can go on and nobody spins: say who waits for whom. */
static void report_stuck(const Block &block)
{
    const Thread *one = nullptr;
    for (const Thread &thread : block.threads)
        if (thread.wait == AT_WARP || (!one && thread.wait == AT_BLOCK))
            if (!one || one->wait != AT_WARP)
                one = &thread;
    const bool warp = one->wait == AT_WARP;
    for (const Thread &thread : block.threads) {
        const bool peer = !warp || (thread.linear / LANES == one->linear / LANES &&
                                    one->mask >> thread.linear % LANES & 1);
        if (peer && (thread.wait != one->wait || !(thread.place == one->place)))
            return fail(block, warp ? "warp divergence" : "barrier divergence", *one, thread);
    }
    fail(block, "a mask names lanes that do not exist", *one, *one);
}

/* A warp with a thread that is READY, or -1. */
static int choose_warp(const Block &block)
{
    const unsigned count = (unsigned)block.lanes[READY].size();
    const unsigned turn = order.kind == Order::RANDOM ? order.below(count) : 0;
    for (unsigned i = 0; i < count; ++i)
        if (block.lanes[READY][order.at(i, count, turn)])
            return (int)order.at(i, count, turn);
    return -1;
}

/* Run the threads of a block until all are done, spin, or wait for other blocks. */
static void run_block(Block &block)
{
    for (int warp; !grid->failed && (warp = choose_warp(block)) >= 0;) {
        const unsigned lane = order.bit(block.lanes[READY][(size_t)warp]);
        Thread &thread = block.threads[(unsigned)warp * LANES + lane];
        current = &thread;
        switch_fiber(scheduler, thread.fiber);
        if (overflowed(thread.fiber))
            fail_plain("a thread overflowed its stack");
        else if (thread.wait == AT_WARP)
            settle_warp(block, thread);
        else if (thread.wait == AT_BLOCK)
            settle_block(block);
    }
    const unsigned others = block.total[DONE] + block.total[AT_GRID];
    if (!grid->failed && block.total[SPINNING] == 0 && others != block.threads.size())
        report_stuck(block);
}

/* Every block in `blocks` is at the grid's barrier, spins, or is done: open the barrier if all came. */
static void settle_grid(std::vector<Block> &blocks)
{
    Block *open = nullptr, *shut = nullptr;
    for (Block &block : blocks) {
        if (block.total[AT_GRID])
            open = &block;
        if (block.total[AT_GRID] != block.threads.size())
            shut = &block;
        if (block.total[SPINNING])
            return;
    }
    if (!open)
        return;
    if (shut)
        return fail_plain("grid barrier divergence: some threads exited while others wait");
    for (Block &block : blocks)
        release(block, AT_GRID);
}

/* Swap in the static shared memory of a block when several blocks are resident. */
static void enter(Block &block, Block *&inside)
{
    if (inside == &block || !grid->together || fixed_bytes() == 0)
        return;
    if (inside)
        copy_raw(inside->fixed.data(), __start_crystal_shared, fixed_bytes());
    copy_raw(__start_crystal_shared, block.fixed.data(), fixed_bytes());
    inside = &block;
}

/* Run blocks that are resident together to their end. */
static void run_resident(std::vector<Block> &blocks)
{
    grid->resident = &blocks;
    Block *inside = nullptr;
    const unsigned count = (unsigned)blocks.size();
    unsigned long idle = 0;
    for (bool alive = true; alive && !grid->failed;) {
        alive = false;
        const unsigned long before = grid->steps;
        const unsigned turn = order.below(count);
        for (unsigned i = 0; i < count && !grid->failed; ++i) {
            Block &block = blocks[order.at(i, count, turn)];
            release(block, SPINNING);
            enter(block, inside);
            run_block(block);
            alive |= block.total[DONE] != block.threads.size();
        }
        settle_grid(blocks);
        idle = grid->steps == before ? idle + 1 : 0;
        if (idle > SPIN_LIMIT)
            fail_plain("threads spin for something that never comes");
    }
}

} // namespace crystal_shim

#endif
