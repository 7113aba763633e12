/* ---- a number of a sample: an integer, or a float, which is rounded and saturated ---- */

template <class T> __device__ __forceinline__ T input(T x) { return x; }

/* floor(x 2^frac + 1/2) in the input's range, the lowest for NaN. The sum itself might round. */
__device__ __forceinline__ int32_t input(float x)
{
    const float y = x * INPUT_UNIT, below = floorf(y);
    const float q = y - below < 0.5f ? below : below + 1.0f;
    return (int32_t)fminf(fmaxf(q, INPUT_LOW), INPUT_HIGH);
}
