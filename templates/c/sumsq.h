/* ---- sum of squares ---- */

INLINE float sumsq(const float *x, int n)
{
    vf a = vzero(), b = vzero();
    float tail = 0.0f;
    const int pairs = n - n % (2 * LANES);
    for (int i = 0; i < pairs; i += 2 * LANES) {
        a = vfma(vload(x + i), vload(x + i), a);
        b = vfma(vload(x + i + LANES), vload(x + i + LANES), b);
    }
    for (int i = pairs; i < n; i++)
        tail += x[i] * x[i];
    return vsum(vadd(a, b)) + tail;
}
