/* CUDA's qualifiers and vector types. */

#ifndef CRYSTAL_SHIM_TYPES_H
#define CRYSTAL_SHIM_TYPES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __managed__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#ifndef __noinline__ /* the C++ library uses this word inside attributes */
#define __noinline__ __noinline__
#endif
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __grid_constant__
#define __cluster_dims__(...)
/* A block's own copy of these is swapped in when it runs (grid.h). */
#define __shared__ static __attribute__((section("crystal_shared")))

#define CRYSTAL_VECTORS(type, name, bytes)                                                     \
    struct name##1 { type x; };                                                                \
    struct __attribute__((aligned(2 * bytes))) name##2 { type x, y; };                         \
    struct name##3 { type x, y, z; };                                                          \
    struct __attribute__((aligned(4 * bytes > 16 ? 16 : 4 * bytes))) name##4 { type x, y, z, w; }; \
    static inline name##1 make_##name##1(type x) { return {x}; }                               \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }                    \
    static inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }         \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

CRYSTAL_VECTORS(float, float, 4)
CRYSTAL_VECTORS(double, double, 8)
CRYSTAL_VECTORS(int, int, 4)
CRYSTAL_VECTORS(unsigned, uint, 4)
CRYSTAL_VECTORS(short, short, 2)
CRYSTAL_VECTORS(unsigned short, ushort, 2)
CRYSTAL_VECTORS(signed char, char, 1)
CRYSTAL_VECTORS(unsigned char, uchar, 1)
CRYSTAL_VECTORS(long long, longlong, 8)
CRYSTAL_VECTORS(unsigned long long, ulonglong, 8)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#endif
