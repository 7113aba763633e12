/* Ticks of one run of a program that is not ours, on the board of hw_tests/cortex_m. */
#include "board.h"
#include "vectors.h"

void peer_run(const float *in, float *out);

int main(void)
{
    float out[16];
    const uint32_t start = ticks();
    peer_run(vectors[0], out);
    print_word(ticks() - start);
    return 0;
}
