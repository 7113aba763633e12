/* ---- four neighbours of a sample, whose row begins at a multiple of them ---- */

__device__ __forceinline__ float4 four(const float *x, int k) { return ((const float4 *)x)[k]; }
__device__ __forceinline__ char4 four(const int8_t *x, int k) { return ((const char4 *)x)[k]; }
__device__ __forceinline__ uchar4 four(const uint8_t *x, int k) { return ((const uchar4 *)x)[k]; }
__device__ __forceinline__ short4 four(const int16_t *x, int k) { return ((const short4 *)x)[k]; }
__device__ __forceinline__ ushort4 four(const uint16_t *x, int k)
{
    return ((const ushort4 *)x)[k];
}
