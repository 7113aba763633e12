/* The same network as anybody would write it: plain loops, row-major float constants, libm. */
#include <math.h>

#include "naive_weights.h" /* I D N O, W [D][I], B [D], P [N][D], A [N], R [N], V [N][O], C [O] */

void naive_run(const float *x, float *y);
void naive_run(const float *x, float *y)
{
    float z[D];
    for (int d = 0; d < D; d++) {
        float sum = B[d];
        for (int i = 0; i < I; i++)
            sum += W[d * I + i] * x[i];
        z[d] = sum;
    }
    for (int o = 0; o < O; o++)
        y[o] = C[o];
    for (int n = 0; n < N; n++) {
        float square = 0.0f, w;
        for (int d = 0; d < D; d++)
            square += (z[d] - P[n * D + d]) * (z[d] - P[n * D + d]);
#ifdef LAPLACE
        w = expf(-sqrtf(square) * A[n]);
#elif defined(GELU)
        w = (R[n] - square) * A[n];
        w = 0.5f * w * (1.0f + tanhf(0.79788456f * (w + 0.044715f * w * w * w)));
#else
        w = fmaxf((R[n] - square) * A[n], 0.0f);
#endif
        for (int o = 0; o < O; o++)
            y[o] += w * V[n * O + o];
    }
}
