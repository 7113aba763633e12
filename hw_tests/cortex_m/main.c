/* Prints the ticks of the first run, then every output of every vector as a word of its own. */
#include "board.h"
#include "crystal.h"
#include "vectors.h" /* VECTORS, vectors[VECTORS][CRYSTAL_INPUTS] */

static uint32_t word(crystal_out value)
{
    union { uint32_t bits; crystal_out value; } u = { 0 };
    u.value = value;
    return u.bits;
}

int main(void)
{
    static crystal_scratch scratch;
    crystal_out out[CRYSTAL_OUTPUTS];
#if defined(STATE)
    static crystal_state state;
    crystal_state_init(&state);
#define LAST , &state
#else
#define LAST
#endif
    uint32_t start = ticks();
    crystal_run(vectors[0], out, &scratch LAST);
    print_word(ticks() - start);
    for (int i = 0; i < VECTORS; i++) {
        crystal_run(vectors[i], out, &scratch LAST);
        for (int o = 0; o < CRYSTAL_OUTPUTS; o++)
            print_word(word(out[o]));
    }
    return 0;
}
