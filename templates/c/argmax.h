/* ---- index of the first maximum; a NaN counts as the maximum ---- */

INLINE int32_t argmax(const float *x, int n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (!(x[i] <= x[best]) && x[best] <= x[best])
            best = i;
    return best;
}
