/* Times the naive network by thread CPU time, inside C. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "naive.c"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* seconds per vector; the n vectors are taken in turn */
double time_one(const float *in, float *out, int n, int calls);
double time_one(const float *in, float *out, int n, int calls)
{
    const double start = now();
    for (int c = 0, i = 0; c < calls; c++, i = i + 1 < n ? i + 1 : 0)
        naive_run(in + I * i, out + O * i);
    return (now() - start) / calls;
}
