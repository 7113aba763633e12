/* Times one emitted model by thread CPU time, inside C. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "crystal.h"

static crystal_scratch scratch;
#if defined(STATE)
static crystal_state state;
#define LAST , &state
#else
#define LAST
#endif

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* seconds per vector, one call of run each; the n vectors are taken in turn */
double time_one(const crystal_in *in, crystal_out *out, int n, int calls);
double time_one(const crystal_in *in, crystal_out *out, int n, int calls)
{
    double start;
#if defined(STATE)
    crystal_state_init(&state);
#endif
    start = now();
    for (int c = 0, i = 0; c < calls; c++, i = i + 1 < n ? i + 1 : 0)
        crystal_run(in + CRYSTAL_INPUTS * i, out + CRYSTAL_OUTPUTS * i, &scratch LAST);
    return (now() - start) / calls;
}

/* seconds per vector, n vectors a call */
double time_batch(const crystal_in *in, crystal_out *out, int n, int calls);
double time_batch(const crystal_in *in, crystal_out *out, int n, int calls)
{
    double start;
#if defined(STATE)
    crystal_state_init(&state);
#endif
    start = now();
    for (int c = 0; c < calls; c++)
        crystal_run_batch(in, out, n, &scratch LAST);
    return (now() - start) / calls / n;
}
