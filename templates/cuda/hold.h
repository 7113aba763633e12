/* ---- weights that a lane keeps in registers for the whole launch ---- */

template <int S, int T, int W>
__device__ __forceinline__ void hold(unsigned (&to)[S][T][W], const unsigned *from, int lane)
{
#pragma unroll
    for (int q = 0; q < S; ++q)
#pragma unroll
        for (int j = 0; j < T; ++j)
#pragma unroll
            for (int i = 0; i < W; ++i)
                to[q][j][i] = from[W * (32 * (T * q + j) + lane) + i];
}
