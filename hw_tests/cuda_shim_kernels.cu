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
    CHECK(!CRYSTAL_LAUNCH(reversed, 4, 128, 128 * sizeof(float), 0, in, out));
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
    return CRYSTAL_LAUNCH(kernel, 1, threads, 0, 0, out) == cudaErrorLaunchFailure ? 0 : 1;
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
    return CRYSTAL_LAUNCH(past_the_end, 1, 32, 0, 0, out);
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
    CHECK(!CRYSTAL_LAUNCH(collectives, 1, 64, 0, 0, out));
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
    CHECK(!CRYSTAL_LAUNCH(numbers, 1, 64, 0, 0, out));
    CHECK(out[0] == 0x77553311u);
    CHECK((int)out[1] == -1 * 127 + 2 * -128 + -2 * -127 + 1 + 5);
    CHECK(out[2] == 255u * 127u + 2u * 128u + 254u * 129u + 1u + 5u);
    CHECK(out[3] == 40831u);
    CHECK(out[4] == 0x6789abcdu);
    CHECK(out[5] == 192u && (int)out[6] == -7);
    return 0;
}

/* The fragments of NVIDIA's tables for mma.sync (PTX ISA), number i of lane 4 g + t, written out as
   there and not as the shim has them: E elements in a word. */
template <int E> struct Fragments;
template <> struct Fragments<1> { /* m16n8k8, .tf32 */
    static int a_row(int g, int i) { return i == 0 || i == 2 ? g : g + 8; }
    static int a_column(int t, int i) { return i == 0 || i == 1 ? t : t + 4; }
    static int b_row(int t, int i) { return i == 0 ? t : t + 4; }
};
template <> struct Fragments<2> { /* m16n8k16, .f16 and .bf16 */
    static int a_row(int g, int i) { return (0 <= i && i < 2) || (4 <= i && i < 6) ? g : g + 8; }
    static int a_column(int t, int i) { return i < 4 ? t * 2 + (i & 1) : t * 2 + (i & 1) + 8; }
    static int b_row(int t, int i) { return i < 2 ? t * 2 + (i & 1) : t * 2 + (i & 1) + 8; }
};
template <> struct Fragments<4> { /* m16n8k32, .s8 and .u8 */
    static int a_row(int g, int i) { return (0 <= i && i < 4) || (8 <= i && i < 12) ? g : g + 8; }
    static int a_column(int t, int i) { return i < 8 ? t * 4 + (i & 3) : t * 4 + (i & 3) + 16; }
    static int b_row(int t, int i) { return i < 4 ? t * 4 + (i & 3) : t * 4 + (i & 3) + 16; }
};
static int d_row(int g, int i) { return i < 2 ? g : g + 8; }
static int d_column(int t, int i) { return t * 2 + (i & 1); }

/* sm_75 has m16n8k8 of halves and m8n8k16 of bytes: mma.h gives them the registers of the larger
   shapes, two and four of them. Their tables, at the rows and columns that it means. */
static int test_small_shapes()
{
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane >> 2, t = lane % 4;
        for (int i = 0; i < 8; ++i) { /* halves: word i / 2 is a0, a1 of the first or second product */
            const int row = i % 4 < 2 ? g : g + 8, column = t * 2 + (i & 1);
            CHECK(Fragments<2>::a_row(g, i) == row);
            CHECK(Fragments<2>::a_column(t, i) == column + 8 * (i / 4));
            CHECK(i > 3 || Fragments<2>::b_row(t, i) == t * 2 + (i & 1) + 8 * (i / 2));
        }
        for (int i = 0; i < 16; ++i) { /* bytes: word r goes with b[r >> 1] to rows 8 (r & 1) on */
            const int r = i / 4;
            CHECK(Fragments<4>::a_row(g, i) == g + 8 * (r & 1));
            CHECK(Fragments<4>::a_column(t, i) == t * 4 + i % 4 + 16 * (r >> 1));
            CHECK(i > 7 || Fragments<4>::b_row(t, i) == t * 4 + i % 4 + 16 * (i / 4));
        }
        for (int i = 0; i < 4; ++i)
            CHECK(d_row(g, i) == g + 8 * (i / 2) && d_column(t, i) == t * 2 + (i & 1));
    }
    return 0;
}

/* a [16, K] of S and b [K, 8] of U as lanes hold them, E elements a word. */
template <class S, class U, class Sum, int E, void (*MULTIPLY)(Sum *, const unsigned *, const unsigned *)>
static __global__ void product(const S *a, const U *b, Sum *d)
{
    typedef Fragments<E> F;
    const int g = (int)threadIdx.x >> 2, t = (int)threadIdx.x % 4, k = 8 * E;
    S ra[4 * E];
    U rb[2 * E];
    Sum rd[4];
    unsigned wa[4], wb[2];
    for (int i = 0; i < 4; ++i)
        rd[i] = d[8 * d_row(g, i) + d_column(t, i)];
    for (int i = 0; i < 4 * E; ++i)
        ra[i] = a[k * F::a_row(g, i) + F::a_column(t, i)];
    for (int i = 0; i < 2 * E; ++i)
        rb[i] = b[8 * F::b_row(t, i) + g];
    memcpy(wa, ra, sizeof wa);
    memcpy(wb, rb, sizeof wb);
    MULTIPLY(rd, wa, wb);
    for (int i = 0; i < 4; ++i)
        d[8 * d_row(g, i) + d_column(t, i)] = rd[i];
}

struct Brain { /* bf16 */
    uint16_t bits;
};
template <class S> static float value(S x) { return (float)x; }
template <> float value<uint16_t>(uint16_t x) { return crystal_f16(x); }
template <> float value<Brain>(Brain x) { return crystal_shim::bf16_value(x.bits); }

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
        b[i] = U(make(i * 53 % 89 - 44));
    for (int i = 0; i < 128; ++i)
        d[i] = (Sum)i;
    auto kernel = product<S, U, Sum, E, MULTIPLY>;
    CHECK(!CRYSTAL_LAUNCH(kernel, 1, 32, 0, 0, a, b, d));
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
static void bf16(float *d, const unsigned *a, const unsigned *b) { crystal_mma_bf16(d, a, b); }
static uint16_t half(int i) { return (uint16_t)(crystal_pack_f16((float)i / 4, 0.0f) & 0xffffu); }
static Brain brain(int i) { return {(uint16_t)(crystal_pack_bf16((float)i, 0.0f) & 0xffffu)}; }
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
    CHECK(crystal_bytes_f16(0xff010203u, 16) == crystal_pack_f16(1.0f, 255.0f));
    CHECK(crystal_pack_s8(1, -1, 128, -1000) == 0x807fff01u); /* saturated */
    CHECK(crystal_pack_u8(1, -1, 256, 255) == 0xffff0001u);
    return 0;
}

static __global__ void numbers_of_lanes(int *out) { out[0] = (int)threadIdx.x; }

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

/* A launch says its own error, and leaves none behind. */
static int test_errors()
{
    int out[1] = {};
    CHECK(cudaMemcpyToSymbolAsync(out, out, 9, 0, cudaMemcpyHostToDevice, 0));
    CHECK(!CRYSTAL_LAUNCH(numbers_of_lanes, 1, 1, 0, 0, out));
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CHECK(CRYSTAL_LAUNCH(numbers_of_lanes, 1, 2048, 0, 0, out) == cudaErrorInvalidConfiguration);
    CHECK(cudaGetLastError() == cudaSuccess);
    return 0;
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
    case 9: return test_product<Brain, Brain, float, 2, bf16>(brain);
    case 10: return test_small_shapes();
    case 11: return test_errors();
    case 20: return refused(one_leaves, 128);
    case 21: return refused(two_barriers, 128);
    case 22: return refused(half_a_warp, 32);
    case 23: return refused(waits_for_ever, 1);
    case 24: return refused(too_deep, 1);
    case 30: return test_past_the_end();
    }
    return 9;
}
