/* ---- functions of one number ---- */

template <class T> __device__ __forceinline__ T square(T x) { return x * x; }

template <class T> __device__ __forceinline__ T magnitude(T x) { return x < 0 ? -x : x; }

/* max(x, 0), but NaN stays NaN */
__device__ __forceinline__ float positive(float x) { return x < 0.0f ? 0.0f : x; }

__device__ __forceinline__ float gelu(float x)
{
    return x / (1.0f + expf(-1.5957691f * (x + 0.044715f * x * x * x)));
}

/* saturate(floor((x * mul + half) / 2^shift)); >> of a negative number is arithmetic */
template <class T>
__device__ __forceinline__ T requant(T x, T mul, int shift, T low, T high)
{
    const T q = (x * mul + ((T)1 << (shift - 1))) >> shift;
    return q < low ? low : q > high ? high : q;
}

/* floor((x mul + half) / 2^SHIFT), where the product fits T and the result 32 bits */
template <class T, int SHIFT> __device__ __forceinline__ int32_t scaled(int32_t x, int32_t mul)
{
    return (int32_t)(((T)x * mul + ((T)1 << (SHIFT - 1))) >> SHIFT);
}

/* floor(((a << shift) * 2 + b) / (2 * b)) with b at least 1 */
__device__ __forceinline__ int64_t divide_round(int64_t a, int64_t b, int shift)
{
    const int64_t d = b > 1 ? b : 1, n = a * ((int64_t)1 << shift) * 2 + d, two = 2 * d;
    const int64_t quotient = n / two;
    return quotient - (n - quotient * two < 0);
}
