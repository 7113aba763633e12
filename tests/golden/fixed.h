#ifndef CRYSTAL_H
#define CRYSTAL_H

#include <stdint.h>

#define CRYSTAL_INPUTS 3
#define CRYSTAL_OUTPUTS 2
#define CRYSTAL_IN_FRAC 6 /* s8q6: real = integer / 2^CRYSTAL_IN_FRAC */
#define CRYSTAL_OUT_FRAC 10 /* s16q10: real = integer / 2^CRYSTAL_OUT_FRAC */
#define CRYSTAL_TILE 1 /* samples that run_batch computes together */

typedef int8_t crystal_in;
typedef int16_t crystal_out;

/* Working memory: no value needs to be kept between runs. A static or local variable is aligned
   by itself; memory from an allocator must have the alignment of this type. */
typedef struct {
    uint16_t n0002[1]; /* [1] */
    int8_t n0000[4]; /* [3] */
    int32_t n0003[2]; /* [2] */
    uint8_t n0009[4]; /* [2] */
    int32_t n0011[2]; /* [2] */
    uint32_t n0013[2]; /* [2] */
    uint8_t n0017[4]; /* [2] */
    int32_t n0019[2]; /* [2] */
    int16_t n0024[2]; /* [2] */
} crystal_scratch;

/* Active neurons: one row each, yours to rewrite between two runs. */
typedef struct {
    int8_t positions[2][3]; /* positions [2, 3] s8q6 */
    uint16_t radius[2]; /* radius [2] u15q12 */
    uint32_t temperature[2]; /* temperature [2] u24q0 */
    int8_t values[2][2]; /* values [2, 2] s8q0 */
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
