#ifndef CRYSTAL_H
#define CRYSTAL_H

#include <stdint.h>

#define CRYSTAL_INPUTS 3
#define CRYSTAL_OUTPUTS 2
#define CRYSTAL_TILE 6 /* samples that run_batch computes together */
#if defined(__GNUC__)
#define CRYSTAL_ALIGNED __attribute__((aligned(64)))
#else
#define CRYSTAL_ALIGNED
#endif

typedef float crystal_in;
typedef float crystal_out;

/* Working memory: no value needs to be kept between runs. A static or local variable is aligned
   by itself; memory from an allocator must have the alignment of this type. */
typedef struct {
    float n0002[96] CRYSTAL_ALIGNED; /* [1] */
    float n0005[96] CRYSTAL_ALIGNED; /* [2] */
    float n0009[96] CRYSTAL_ALIGNED; /* [2] */
    float n0011[96] CRYSTAL_ALIGNED; /* [2] */
    float n0013[96] CRYSTAL_ALIGNED; /* [2] */
    float n0018[96] CRYSTAL_ALIGNED; /* [2] */
    float n0020[96] CRYSTAL_ALIGNED; /* [2] */
    float n0023[96] CRYSTAL_ALIGNED; /* [2] */
} crystal_scratch;

/* Active neurons: one row each, yours to rewrite between two runs. */
typedef struct {
    float positions[2][3]; /* positions [2, 3] */
    float temperature[16]; /* temperature [2] */
    float values[2][2]; /* values [2, 2] */
} crystal_state;

#ifdef __cplusplus
extern "C" {
#endif

/* Set every active neuron to what it was when the network was compiled. */
void crystal_state_init(crystal_state *state);

/* out [2] from in [3]. Reads and writes nothing but its arguments. */
void crystal_run(const crystal_in *in, crystal_out *out, crystal_scratch *s, const crystal_state *state);

/* The same for n samples, one after another in memory. */
void crystal_run_batch(const crystal_in *in, crystal_out *out, int n, crystal_scratch *s, const crystal_state *state);

#ifdef __cplusplus
}
#endif

#endif
