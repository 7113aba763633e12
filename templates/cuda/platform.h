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
#define CRYSTAL_LAUNCH(...) crystal_launch(false, __VA_ARGS__)
#define CRYSTAL_LAUNCH_TOGETHER(...) crystal_launch(true, __VA_ARGS__)

/* What a call returned; an error does not stay behind for whoever asks CUDA next. */
static inline cudaError_t crystal_told(cudaError_t error)
{
    if (error != cudaSuccess)
        cudaGetLastError();
    return error;
}

template <class T> struct crystal_same { typedef T type; };

/* Gives the launch's own error, not that of a call before it. `together`: all are resident. */
template <class... P>
static cudaError_t crystal_launch(bool together, void (*kernel)(P...), dim3 blocks, dim3 threads,
                                  size_t shared, cudaStream_t stream,
                                  typename crystal_same<P>::type... arguments)
{
    void *at[] = {(void *)&arguments...};
    const void *const code = (const void *)kernel;
    return crystal_told(
        together ? cudaLaunchCooperativeKernel(code, blocks, threads, at, shared, stream)
                 : cudaLaunchKernel(code, blocks, threads, at, shared, stream));
}
#endif
#define CRYSTAL_DYNAMIC_SHARED(type, name) extern __shared__ __align__(16) type name[]
#endif
