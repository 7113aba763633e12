/* Kernels that use what the shim offers, each checked against plain C++. argv[1]: which. */
#include <stdio.h>

#define CHECK(condition)                                            \
    do {                                                            \
        if (!(condition))                                           \
            return printf("line %d: %s\n", __LINE__, #condition), 1; \
    } while (0)

#ifndef BARRIER
#define BARRIER() __syncthreads()
#endif

/* Each thread reads what another one wrote, in both kinds of shared memory. */
static __global__ void reversed(const float *in, float *out)
{
    __shared__ float fixed[128];
    CRYSTAL_DYNAMIC_SHARED(float, dynamic);
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    fixed[threadIdx.x] = in[i];
    dynamic[threadIdx.x] = in[i];
    BARRIER();
    out[i] = fixed[127 - threadIdx.x] + dynamic[(threadIdx.x + 1) % 128];
}

static int test_reversed()
{
    static float in[512], out[512];
    for (int i = 0; i < 512; ++i)
        in[i] = (float)(i * i % 97);
    CRYSTAL_LAUNCH(reversed, 4, 128, 128 * sizeof(float), 0, in, out);
    CHECK(cudaGetLastError() == cudaSuccess);
    for (int i = 0; i < 512; ++i)
        CHECK(out[i] == in[i / 128 * 128 + 127 - i % 128] + in[i / 128 * 128 + (i + 1) % 128]);
    return 0;
}

static __global__ void one_leaves(int *out)
{
    if (threadIdx.x == 77)
        return;
    __syncthreads();
    out[threadIdx.x] = 1;
}

static __global__ void two_barriers(int *out)
{
    if (threadIdx.x < 64)
        __syncthreads();
    else
        __syncthreads();
    out[threadIdx.x] = 1;
}

static __global__ void half_a_warp(int *out)
{
    if (threadIdx.x < 16)
        out[threadIdx.x] = __shfl_sync(0xffffffffu, 1, 0);
}

static __global__ void waits_for_ever(int *out)
{
    while (*(volatile int *)out == 0)
        __nanosleep(20);
}

static __global__ void too_deep(int *out)
{
    volatile char room[300000];
    for (int i = 299999; i >= 0; --i)
        room[i] = (char)i;
    out[0] = room[7];
}

template <class K> static int refused(K kernel, int threads)
{
    int out[128] = {};
    CRYSTAL_LAUNCH(kernel, 1, threads, 0, 0, out);
    return cudaGetLastError() == cudaErrorLaunchFailure ? 0 : 1;
}

static __global__ void past_the_end(float *out)
{
    __shared__ float tile[32];
    tile[threadIdx.x] = 1.0f;
    __syncthreads();
    const float *volatile hidden = tile; /* only the address sanitizer knows its end */
    out[threadIdx.x] = hidden[threadIdx.x + (int)out[0]];
}

static int test_past_the_end()
{
    float out[32] = {1.0f};
    CRYSTAL_LAUNCH(past_the_end, 1, 32, 0, 0, out);
    return cudaGetLastError();
}

static __global__ void collectives(int *out)
{
    const int lane = (int)threadIdx.x & 31;
    const unsigned all = 0xffffffffu;
    int *mine = out + 12 * threadIdx.x;
    mine[0] = __shfl_sync(all, lane * 3, (lane + 5) & 31);
    mine[1] = __shfl_up_sync(all, lane, 3);
    mine[2] = __shfl_down_sync(all, lane, 3, 16);
    mine[3] = __shfl_xor_sync(all, lane, 9);
    mine[4] = (int)__ballot_sync(all, lane % 3 == 0);
    mine[5] = __any_sync(all, lane == 31) + 2 * __all_sync(all, lane < 31);
    mine[6] = __reduce_max_sync(all, -lane);
    mine[7] = __reduce_min_sync(all, -lane);
    mine[8] = __reduce_add_sync(all, -lane);
    mine[9] = __syncthreads_count(threadIdx.x % 5 == 0);
    mine[10] = __syncthreads_or(threadIdx.x == 3) + 2 * __syncthreads_and(threadIdx.x != 3);
    mine[11] = 0;
    if (lane < 16)
        mine[11] = __shfl_xor_sync(0xffffu, lane, 1);
}

static int test_collectives()
{
    static int out[64 * 12];
    CRYSTAL_LAUNCH(collectives, 1, 64, 0, 0, out);
    CHECK(cudaGetLastError() == cudaSuccess);
    for (int i = 0; i < 64; ++i) {
        const int lane = i & 31, *mine = out + 12 * i;
        CHECK(mine[0] == (lane + 5) % 32 * 3);
        CHECK(mine[1] == (lane < 3 ? lane : lane - 3));
        CHECK(mine[2] == (lane % 16 + 3 < 16 ? lane + 3 : lane));
        CHECK(mine[3] == (lane ^ 9));
        CHECK((unsigned)mine[4] == 0x49249249u);
        CHECK(mine[5] == 1);
        CHECK(mine[6] == 0 && mine[7] == -31 && mine[8] == -31 * 16);
        CHECK(mine[9] == 13 && mine[10] == 1);
        CHECK(mine[11] == (lane < 16 ? lane ^ 1 : 0));
    }
    return 0;
}

static __global__ void numbers(unsigned *out)
{
    out[0] = __byte_perm(0x33221100u, 0x77665544u, 0x7531);
    out[1] = (unsigned)__dp4a((int)0xff02fe01u, (int)0x7f808101u, 5);
    out[2] = __dp4a(0xff02fe01u, 0x7f808101u, 5u);
    out[3] = (unsigned)__clz(1) + 100u * (unsigned)__popc(0xf0f0u) + 10000u * (unsigned)__ffs(8);
    out[4] = __funnelshift_r(0x89abcdefu, 0x01234567u, 8);
    atomicAdd(&out[5], 3u);
    atomicMax((int *)&out[6], -7);
    out[8 + threadIdx.x] = atomicCAS(&out[7], threadIdx.x, threadIdx.x + 1);
}

static int test_numbers()
{
    unsigned out[8 + 64] = {};
    out[6] = (unsigned)-9;
    CRYSTAL_LAUNCH(numbers, 1, 64, 0, 0, out);
    CHECK(out[0] == 0x77553311u);
    CHECK((int)out[1] == -1 * 127 + 2 * -128 + -2 * -127 + 1 + 5);
    CHECK(out[2] == 255u * 127u + 2u * 128u + 254u * 129u + 1u + 5u);
    CHECK(out[3] == 40831u);
    CHECK(out[4] == 0x6789abcdu);
    CHECK(out[5] == 192u && (int)out[6] == -7);
    return 0;
}

/* a [16, K] of S and b [K, 8] of U as lanes hold them, E elements a word. */
template <class S, class U, class Sum, int E, void (*MULTIPLY)(Sum *, const unsigned *, const unsigned *)>
static __global__ void product(const S *a, const U *b, Sum *d)
{
    const int g = (int)threadIdx.x >> 2, t = (int)threadIdx.x & 3, k = 8 * E;
    unsigned ra[4] = {}, rb[2] = {};
    Sum rd[4];
    for (int r = 0; r < 4; ++r)
        rd[r] = d[8 * (g + 8 * (r >> 1)) + 2 * t + (r & 1)];
    for (int r = 0; r < 4; ++r)
        memcpy(&ra[r], a + k * (g + 8 * (r & 1)) + 4 * E * (r >> 1) + E * t, 4);
    for (int r = 0; r < 2; ++r)
        for (int e = 0; e < E; ++e)
            memcpy((char *)&rb[r] + 4 / E * e, b + 8 * (4 * E * r + E * t + e) + g, 4 / E);
    MULTIPLY(rd, ra, rb);
    for (int r = 0; r < 4; ++r)
        d[8 * (g + 8 * (r >> 1)) + 2 * t + (r & 1)] = rd[r];
}

template <class S> static float value(S x) { return (float)x; }
template <> float value<uint16_t>(uint16_t x) { return crystal_f16(x); }

template <class S, class U, class Sum, int E, void (*MULTIPLY)(Sum *, const unsigned *, const unsigned *)>
static int test_product(S (*make)(int))
{
    const int k = 8 * E;
    static S a[16 * 32];
    static U b[32 * 8];
    static Sum d[128];
    for (int i = 0; i < 16 * k; ++i)
        a[i] = make(i * 37 % 101 - 50);
    for (int i = 0; i < 8 * k; ++i)
        b[i] = (U)make(i * 53 % 89 - 44);
    for (int i = 0; i < 128; ++i)
        d[i] = (Sum)i;
    auto kernel = product<S, U, Sum, E, MULTIPLY>;
    CRYSTAL_LAUNCH(kernel, 1, 32, 0, 0, a, b, d);
    CHECK(cudaGetLastError() == cudaSuccess);
    for (int row = 0; row < 16; ++row)
        for (int column = 0; column < 8; ++column) {
            float sum = (float)(8 * row + column);
            for (int i = 0; i < k; ++i)
                sum += value(a[k * row + i]) * value(b[8 * i + column]);
            CHECK((float)d[8 * row + column] == sum);
        }
    return 0;
}

static void f16(float *d, const unsigned *a, const unsigned *b) { crystal_mma_f16(d, a, b); }
static void tf32(float *d, const unsigned *a, const unsigned *b) { crystal_mma_tf32(d, a, b); }
static void s8(int *d, const unsigned *a, const unsigned *b) { crystal_mma_s8(d, a, b); }
static void u8s8(int *d, const unsigned *a, const unsigned *b) { crystal_mma_u8s8(d, a, b); }
static uint16_t half(int i) { return (uint16_t)(crystal_pack_f16((float)i / 4, 0.0f) & 0xffffu); }
static float plain(int i) { return (float)i; }
static int8_t byte(int i) { return (int8_t)i; }
static uint8_t unsigned_byte(int i) { return (uint8_t)(i + 100); }

static int test_halves()
{
    for (unsigned h = 0; h < 65536; ++h) {
        const float x = crystal_f16(h);
        CHECK(x != x || (crystal_pack_f16(x, 0.0f) == h && crystal_pack_f16(0.0f, x) == h << 16));
    }
    CHECK(crystal_f16(crystal_pack_f16(2049.0f, 0.0f)) == 2048.0f); /* ties to even */
    CHECK(crystal_f16(crystal_pack_f16(2051.0f, 0.0f)) == 2052.0f);
    CHECK(crystal_f16(crystal_pack_f16(65519.0f, 0.0f)) == 65504.0f);
    CHECK(crystal_f16(crystal_pack_f16(65520.0f, 0.0f)) > 1e30f);
    return 0;
}

/* Blocks that wait for each other keep their shared memory, and can read another's. */
static __global__ void together(unsigned *count, float *out)
{
    __shared__ float fixed[64];
    CRYSTAL_DYNAMIC_SHARED(float, dynamic);
    const unsigned next = (blockIdx.x + 1) % gridDim.x;
    fixed[threadIdx.x] = (float)(100 * blockIdx.x + threadIdx.x);
    dynamic[threadIdx.x] = fixed[threadIdx.x];
    CRYSTAL_GRID_SYNC();
    out[64 * blockIdx.x + threadIdx.x] =
        fixed[63 - threadIdx.x] + 1000 * crystal_shim::peer(dynamic, next)[threadIdx.x];
    if (threadIdx.x == 0) {
        atomicAdd(count, 1u);
        while (*(volatile unsigned *)count < gridDim.x)
            __nanosleep(20);
    }
    CRYSTAL_GRID_SYNC();
}

static int test_together()
{
    unsigned count = 0;
    static float out[4 * 64];
    const int room = 64 * sizeof(float);
    CHECK(!CRYSTAL_LAUNCH_TOGETHER(together, 4, 64, room, 0, &count, out));
    for (int i = 0; i < 256; ++i) {
        const int block = i / 64, thread = i % 64;
        const int other = 100 * ((block + 1) % 4) + thread;
        CHECK(out[i] == (float)(100 * block + 63 - thread + 1000 * other));
    }
    return count != 4;
}

int main(int, char **argv)
{
    switch (atoi(argv[1])) {
    case 0: return test_reversed();
    case 1: return test_collectives();
    case 2: return test_numbers();
    case 3: return test_halves();
    case 4: return test_product<uint16_t, uint16_t, float, 2, f16>(half);
    case 5: return test_product<float, float, float, 1, tf32>(plain);
    case 6: return test_product<int8_t, int8_t, int, 4, s8>(byte);
    case 7: return test_product<uint8_t, int8_t, int, 4, u8s8>(unsigned_byte);
    case 8: return test_together();
    case 20: return refused(one_leaves, 128);
    case 21: return refused(two_barriers, 128);
    case 22: return refused(half_a_warp, 32);
    case 23: return refused(waits_for_ever, 1);
    case 24: return refused(too_deep, 1);
    case 30: return test_past_the_end();
    }
    return 9;
}
