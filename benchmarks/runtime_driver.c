/* Times of the C runtime: greedy text, and reading the bytes that a token needs. */

#define _POSIX_C_SOURCE 200809L

#include "crystal.h"

#include <string.h>
#include <time.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds a token: contexts filled from empty to full, greedily; the last id into ``last``. */
double driver_tokens(crystal *m, int32_t contexts, int32_t *last)
{
    crystal_sampler greedy = { 0 };
    const int32_t n = crystal_context(m);
    const double start = seconds();
    for (int32_t c = 0; c < contexts; c++) {
        crystal_reset(m);
        *last = 5;
        for (int32_t i = 0; i < n; i++) {
            crystal_push(m, *last);
            *last = crystal_sample(m, &greedy, crystal_logits(m));
        }
    }
    return (seconds() - start) / contexts / n;
}

/* Seconds to read ``pieces`` of memory, each [offset, bytes], once. */
double driver_read(const uint8_t *base, const int64_t *pieces, int32_t count, int32_t rounds,
                   uint64_t *sum)
{
    uint64_t lanes[32] = { 0 };
    const double start = seconds();
    for (int32_t r = 0; r < rounds; r++)
        for (int32_t p = 0; p < count; p++) {
            const uint64_t *at = (const uint64_t *)(const void *)(base + pieces[2 * p]);
            for (int64_t i = 0; i + 32 <= pieces[2 * p + 1] / 8; i += 32)
                for (int j = 0; j < 32; j++)
                    lanes[j] += at[i + j];
        }
    const double spent = seconds() - start;
    *sum = 0;
    for (int j = 0; j < 32; j++)
        *sum += lanes[j];
    return spent / rounds;
}

/* Seconds to open a file. */
double driver_open(const char *path, int32_t *verdict)
{
    crystal *m;
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    *verdict = crystal_open(path, &m);
    clock_gettime(CLOCK_MONOTONIC, &b);
    crystal_free(m);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}
