/* ---- constants ---- */

/* ---- the network ---- */

#ifdef __CUDACC__
#pragma nv_diag_suppress 177 /* elements that nothing needs */
#endif
#define THREADS 128

/* One thread, one sample. */
template <class In>
static __global__ void __launch_bounds__(THREADS)
    crystal_kernel(const In *__restrict__ in, float scale, crystal_out *__restrict__ out, int n, const crystal_state *state)
{
    const int sample = (int)(blockIdx.x * THREADS + threadIdx.x);
    if (sample >= n)
        return;
    const In *const x = in + (size_t)3 * sample;
    crystal_out *const y = out + (size_t)2 * sample;
    /* n0000 input */
    const float n0000_0 = input(x[0], scale);
    const float n0000_1 = input(x[1], scale);
    const float n0000_2 = input(x[2], scale);
    /* n0002 sumsq */
    float n0002_0 = 0.0f;
    n0002_0 += square(n0000_0);
    n0002_0 += square(n0000_1);
    n0002_0 += square(n0000_2);
    /* n0003 matmul, positions [2, 3] */
    float n0003_0 = 0.0f;
    n0003_0 += n0000_0 * 0x1.4c00000000000p+1f;
    n0003_0 += n0000_1 * 0x1.e800000000000p+0f;
    n0003_0 += n0000_2 * -0x1.6800000000000p+0f;
    float n0003_1 = 0.0f;
    n0003_1 += n0000_0 * -0x1.4400000000000p+1f;
    n0003_1 += n0000_1 * -0x1.4000000000000p+0f;
    n0003_1 += n0000_2 * 0x1.8000000000000p-4f;
    /* n0005 add, offset [2] */
    const float n0005_0 = n0003_0 + -0x1.8ad8000000000p+1f;
    const float n0005_1 = n0003_1 + -0x1.fea0000000000p+0f;
    /* n0006 sub */
    const float n0006_0 = n0005_0 - n0002_0;
    const float n0006_1 = n0005_1 - n0002_0;
    /* n0008 mul, scale [2] */
    const float n0008_0 = n0006_0 * 0x1.7c6f8c0000000p-2f;
    const float n0008_1 = n0006_1 * 0x1.8b5a780000000p-2f;
    /* n0009 exp */
    const float n0009_0 = expf(n0008_0);
    const float n0009_1 = expf(n0008_1);
    /* n0011 matmul, values [2, 2] */
    float n0011_0 = 0.0f;
    n0011_0 += n0009_0 * 0x1.fb80000000000p-2f;
    n0011_0 += n0009_1 * -0x1.ce40000000000p-1f;
    float n0011_1 = 0.0f;
    n0011_1 += n0009_0 * 0x1.0b80000000000p-3f;
    n0011_1 += n0009_1 * 0x1.f000000000000p-6f;
    /* n0013 distance, positions [2, 3] */
    float n0013_0 = 0.0f;
    n0013_0 += square(n0000_0 - state->positions[0][0]);
    n0013_0 += square(n0000_1 - state->positions[0][1]);
    n0013_0 += square(n0000_2 - state->positions[0][2]);
    float n0013_1 = 0.0f;
    n0013_1 += square(n0000_0 - state->positions[1][0]);
    n0013_1 += square(n0000_1 - state->positions[1][1]);
    n0013_1 += square(n0000_2 - state->positions[1][2]);
    /* n0015 sub */
    const float n0015_0 = 0.0f - n0013_0;
    const float n0015_1 = 0.0f - n0013_1;
    /* n0017 div, temperature [2] */
    const float n0017_0 = n0015_0 / state->temperature[0];
    const float n0017_1 = n0015_1 / state->temperature[1];
    /* n0018 exp */
    const float n0018_0 = expf(n0017_0);
    const float n0018_1 = expf(n0017_1);
    /* n0020 matmul, values [2, 2] */
    float n0020_0 = 0.0f;
    n0020_0 += n0018_0 * state->values[0][0];
    n0020_0 += n0018_1 * state->values[1][0];
    float n0020_1 = 0.0f;
    n0020_1 += n0018_0 * state->values[0][1];
    n0020_1 += n0018_1 * state->values[1][1];
    /* n0021 add */
    const float n0021_0 = n0011_0 + n0020_0;
    const float n0021_1 = n0011_1 + n0020_1;
    /* n0023 add, bias [2] */
    const float n0023_0 = n0021_0 + -0x1.8000000000000p-4f;
    const float n0023_1 = n0021_1 + -0x1.0000000000000p-6f;
    /* n0024 output */
    y[0] = (float)n0023_0;
    y[1] = (float)n0023_1;
}
#ifdef __CUDACC_RTC__
template __global__ void crystal_kernel<float>(const float *, float scale, crystal_out *, int, const crystal_state *state);
template __global__ void crystal_kernel<uint8_t>(const uint8_t *, float scale, crystal_out *, int, const crystal_state *state);
#endif

