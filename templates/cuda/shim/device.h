/* Device functions: bits, integer dot products, fast math, atomics, fences. */

#ifndef CRYSTAL_SHIM_DEVICE_H
#define CRYSTAL_SHIM_DEVICE_H

#include <algorithm>
#include <time.h>

using std::max;
using std::min;

template <class To, class From> static inline To crystal_shim_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

static inline unsigned __float_as_uint(float x) { return crystal_shim_bits<unsigned>(x); }
static inline int __float_as_int(float x) { return crystal_shim_bits<int>(x); }
static inline float __uint_as_float(unsigned x) { return crystal_shim_bits<float>(x); }
static inline float __int_as_float(int x) { return crystal_shim_bits<float>(x); }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __mulhi(int a, int b) { return (int)(((int64_t)a * b) >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)(((uint64_t)a * b) >> 32);
}
static inline long long __mul64hi(long long a, long long b)
{
    return (long long)(((__int128)a * b) >> 64);
}

/* Four bytes of the eight in (high, low), chosen by the nibbles of `selector`. */
static inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector)
{
    const uint64_t bytes = (uint64_t)high << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) {
        const unsigned byte = (unsigned)(bytes >> (selector >> 4 * i & 7) * 8) & 255u;
        const unsigned sign = byte >> 7 ? 255u : 0u;
        result |= (selector >> 4 * i & 8 ? sign : byte) << 8 * i;
    }
    return result;
}

static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}

static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((uint64_t)high << 32 | low) << (shift & 31) >> 32);
}

static inline int __dp4a(int a, int b, int c)
{
    unsigned sum = (unsigned)c;
    for (int i = 0; i < 4; ++i)
        sum += (unsigned)((signed char)(a >> 8 * i) * (signed char)(b >> 8 * i));
    return (int)sum;
}

static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c)
{
    for (int i = 0; i < 4; ++i)
        c += (a >> 8 * i & 255u) * (b >> 8 * i & 255u);
    return c;
}

#define __expf(x) expf(x) /* the C library has functions of these names */
#define __logf(x) logf(x)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float __saturatef(float x) { return fminf(1.0f, fmaxf(0.0f, x)); }
static inline int __float2int_rn(float x) { return (int)nearbyintf(x); }
static inline float __int2float_rn(int x) { return (float)x; }

template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline T __ldcv(const T *p) { return *p; }
template <class T> static inline void __stcg(T *p, T value) { *p = value; }
template <class T> static inline void __stcs(T *p, T value) { *p = value; }

/* One thread runs at a time, so a plain read and write is atomic. Arithmetic wraps. */
template <class T, class F> static inline T crystal_shim_atomic(T *p, F change)
{
    const T old = *p;
    *p = change(old);
    return old;
}

static inline int atomicAdd(int *p, int v)
{
    return crystal_shim_atomic(p, [v](int old) { return (int)((unsigned)old + (unsigned)v); });
}
template <class T> static inline T atomicAdd(T *p, T v)
{
    return crystal_shim_atomic(p, [v](T old) { return (T)(old + v); });
}
static inline unsigned atomicInc(unsigned *p, unsigned limit)
{
    return crystal_shim_atomic(p, [=](unsigned old) { return old >= limit ? 0u : old + 1; });
}
template <class T> static inline T atomicMax(T *p, T v)
{
    return crystal_shim_atomic(p, [v](T old) { return max(old, v); });
}
template <class T> static inline T atomicMin(T *p, T v)
{
    return crystal_shim_atomic(p, [v](T old) { return min(old, v); });
}
template <class T> static inline T atomicOr(T *p, T v)
{
    return crystal_shim_atomic(p, [v](T old) { return old | v; });
}
template <class T> static inline T atomicAnd(T *p, T v)
{
    return crystal_shim_atomic(p, [v](T old) { return old & v; });
}
template <class T> static inline T atomicExch(T *p, T v)
{
    return crystal_shim_atomic(p, [v](T) { return v; });
}
template <class T> static inline T atomicCAS(T *p, T expected, T v)
{
    return crystal_shim_atomic(p, [=](T old) { return old == expected ? v : old; });
}

static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}

/* Other threads and blocks run now: a loop that waits for them must call this. */
static inline void __nanosleep(unsigned)
{
    ::crystal_shim::wait_as(::crystal_shim::SPINNING, {"__nanosleep", 0});
}

static inline long long clock64() { return (long long)clock(); }
#define __trap() abort()

#endif
