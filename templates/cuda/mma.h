/* ---- tensor cores: d[16, 8] += a[16, K] b[K, 8] of one warp; lanes as in PTX's mma.sync. All
        lanes must be there, so these are volatile: no compiler moves one into a branch ---- */

#ifndef CRYSTAL_CPU_SHIM
#define CRYSTAL_MMA_4_2(name, sum, constraint, instruction)                                    \
    __device__ __forceinline__ void name(sum *d, const unsigned *a, const unsigned *b)         \
    {                                                                                          \
        asm volatile("mma.sync.aligned." instruction                                           \
                     " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"        \
                     : "+" constraint(d[0]), "+" constraint(d[1]), "+" constraint(d[2]),       \
                       "+" constraint(d[3])                                                    \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));      \
    }
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
/* sm_75 multiplies 8 halves and 16 bytes of K at a time, bytes for 8 rows. */
__device__ __forceinline__ void crystal_mma_f16_8(float *d, unsigned a0, unsigned a1,
                                                         unsigned b)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32"
                 " {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(b));
}

__device__ __forceinline__ void crystal_mma_f16(float *d, const unsigned *a,
                                                       const unsigned *b)
{
    crystal_mma_f16_8(d, a[0], a[1], b[0]);
    crystal_mma_f16_8(d, a[2], a[3], b[1]);
}

#define CRYSTAL_MMA_BYTES(name, types)                                                         \
    __device__ __forceinline__ void name(int *d, const unsigned *a, const unsigned *b)         \
    {                                                                                          \
        for (int i = 0; i < 4; ++i)                                                            \
            asm volatile("mma.sync.aligned.m8n8k16.row.col.s32." types                         \
                ".s32 {%0, %1}, {%2}, {%3}, {%0, %1};"                                         \
                : "+r"(d[2 * (i & 1)]), "+r"(d[2 * (i & 1) + 1])                               \
                : "r"(a[i]), "r"(b[i >> 1]));                                                  \
    }
CRYSTAL_MMA_BYTES(crystal_mma_s8, "s8.s8")
CRYSTAL_MMA_BYTES(crystal_mma_u8s8, "u8.s8")
#else
CRYSTAL_MMA_4_2(crystal_mma_f16, float, "f", "m16n8k16.row.col.f32.f16.f16.f32")
CRYSTAL_MMA_4_2(crystal_mma_s8, int, "r", "m16n8k32.row.col.s32.s8.s8.s32")
CRYSTAL_MMA_4_2(crystal_mma_u8s8, int, "r", "m16n8k32.row.col.s32.u8.s8.s32")
#endif

/* Two floats as a register of halves, the first in the low bits. */
__device__ __forceinline__ unsigned crystal_pack_f16(float low, float high)
{
    unsigned word;
    asm("{ .reg .f16 a, b;\n\tcvt.rn.f16.f32 a, %1;\n\tcvt.rn.f16.f32 b, %2;\n\t"
        "mov.b32 %0, {a, b}; }"
        : "=r"(word)
        : "f"(low), "f"(high));
    return word;
}

/* Four integers as signed or unsigned bytes, saturated, the first in the low bits. */
#define CRYSTAL_PACK_BYTES(name, type)                                                         \
    __device__ __forceinline__ unsigned name(int a, int b, int c, int d)                       \
    {                                                                                          \
        unsigned word;                                                                         \
        asm("{ .reg .b32 high;\n\tcvt.pack.sat." type ".s32.b32 high, %4, %3, 0;\n\t"           \
            "cvt.pack.sat." type ".s32.b32 %0, %2, %1, high; }"                                \
            : "=r"(word)                                                                       \
            : "r"(a), "r"(b), "r"(c), "r"(d));                                                 \
        return word;                                                                           \
    }
CRYSTAL_PACK_BYTES(crystal_pack_s8, "s8")
CRYSTAL_PACK_BYTES(crystal_pack_u8, "u8")

/* Two bytes of a word from bit `at` on as halves: 0x6400 + b is the half 1024 + b. */
__device__ __forceinline__ unsigned crystal_bytes_f16(unsigned word, int at)
{
    unsigned halves;
    asm("sub.rn.f16x2 %0, %1, %2;"
        : "=r"(halves)
        : "r"(__byte_perm(word, 0x64646464u, at ? 0x4342 : 0x4140)), "r"(0x64006400u));
    return halves;
}

/* The half in the low bits. */
__device__ __forceinline__ float crystal_f16(unsigned bits)
{
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"((unsigned short)bits));
    return value;
}
#endif
