/* ---- platform: what nvcc and the CPU shim (which defines the same names) spell differently ---- */

#ifndef CRYSTAL_CPU_SHIM
#ifdef __CUDACC_RTC__
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <stddef.h>
#include <stdint.h>
#define CRYSTAL_LAUNCH(kernel, blocks, threads, shared, stream, ...) \
    kernel<<<blocks, threads, shared, stream>>>(__VA_ARGS__)
#define CRYSTAL_LAUNCH_TOGETHER(kernel, blocks, threads, shared, stream, ...) \
    crystal_launch_together(kernel, blocks, threads, shared, stream, __VA_ARGS__)

template <class T> struct crystal_same { typedef T type; };

/* A launch in which all blocks are resident, so that they may wait for each other. */
template <class... P>
static cudaError_t crystal_launch_together(void (*kernel)(P...), dim3 blocks, dim3 threads,
                                           size_t shared, cudaStream_t stream,
                                           typename crystal_same<P>::type... arguments)
{
    void *pointers[] = {(void *)&arguments...};
    return cudaLaunchCooperativeKernel((const void *)kernel, blocks, threads, pointers, shared,
                                       stream);
}
#endif
#define CRYSTAL_DYNAMIC_SHARED(type, name) extern __shared__ __align__(16) type name[]
#endif
