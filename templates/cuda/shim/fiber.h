/* Fibers: a stack each, and a switch between two of them. AddressSanitizer is told of every switch. */

#ifndef CRYSTAL_SHIM_FIBER_H
#define CRYSTAL_SHIM_FIBER_H

#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define CRYSTAL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CRYSTAL_ASAN 1
#endif
#endif
#ifdef CRYSTAL_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace crystal_shim {

constexpr size_t STACK_BYTES = 256 << 10; /* address space; the kernel commits what is touched */
constexpr uint64_t CANARY = 0x5ca1ab1e0ddba11ull;

struct Fiber {
    void *sp = nullptr;          /* where it stopped (x86-64) */
    char *stack = nullptr;       /* lowest address; null: the thread of the operating system */
    void *fake = nullptr;        /* AddressSanitizer's own stack */
    const void *bottom = nullptr;
    size_t bytes = 0;
#ifndef __x86_64__
    ucontext_t context;
#endif
};

} // namespace crystal_shim

#ifdef __x86_64__
extern "C" void crystal_shim_switch(void **save, void *load);
__asm__(".text\n"
        ".type crystal_shim_switch,@function\n"
        "crystal_shim_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size crystal_shim_switch,.-crystal_shim_switch\n");
#endif

namespace crystal_shim {

/* Continue `to` until somebody switches back to `from`. */
static inline void switch_fiber(Fiber &from, Fiber &to)
{
#ifdef CRYSTAL_ASAN
    __sanitizer_start_switch_fiber(&from.fake, to.bottom, to.bytes);
#endif
#ifdef __x86_64__
    crystal_shim_switch(&from.sp, to.sp);
#else
    swapcontext(&from.context, &to.context);
#endif
#ifdef CRYSTAL_ASAN
    __sanitizer_finish_switch_fiber(from.fake, nullptr, nullptr);
#endif
}

/* Called first thing on a new fiber that `caller` switched to. */
static inline void fiber_began(Fiber &caller)
{
#ifdef CRYSTAL_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &caller.bottom, &caller.bytes);
#else
    (void)caller;
#endif
}

/* Make `fiber` start at `entry`, which never returns, on `stack` [STACK_BYTES]. */
static inline void prepare_fiber(Fiber &fiber, char *stack, void (*entry)())
{
#ifdef CRYSTAL_ASAN
    __asan_unpoison_memory_region(stack, STACK_BYTES);
#endif
    memcpy(stack, &CANARY, sizeof CANARY);
    fiber.stack = stack;
    fiber.bottom = stack;
    fiber.bytes = STACK_BYTES;
#ifdef __x86_64__
    void **top = (void **)(stack + STACK_BYTES) - 1; /* a call leaves the stack 8 off 16 */
    *top = nullptr;
    *--top = (void *)entry;
    for (int i = 0; i < 6; ++i)
        *--top = nullptr;
    fiber.sp = top;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = STACK_BYTES;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
#endif
}

/* Did the fiber run over the end of its stack? */
static inline bool overflowed(const Fiber &fiber)
{
    return memcmp(fiber.stack, &CANARY, sizeof CANARY) != 0;
}

/* Stacks that launches share; grown, never shrunk. */
struct Stacks {
    char *base = nullptr;
    size_t count = 0;

    /* The memory of `wanted` stacks, or null. */
    char *reserve(size_t wanted)
    {
        if (wanted <= count)
            return base;
        if (base)
            munmap(base - STACK_BYTES, (count + 1) * STACK_BYTES);
        count = 0;
        base = nullptr;
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        const size_t bytes = (wanted + 1) * STACK_BYTES; /* the first may overflow, too */
        void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (memory == MAP_FAILED)
            return nullptr;
        base = (char *)memory + STACK_BYTES;
        count = wanted;
        return base;
    }
};

} // namespace crystal_shim

#endif
