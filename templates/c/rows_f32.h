/* ---- active neurons: rows of the caller's state, in their natural order ---- */

INLINE float row_dot(const float *x, const float *w, int k)
{
    vf a = vzero();
    float tail = 0.0f;
    const int whole = k - k % LANES;
    for (int i = 0; i < whole; i += LANES)
        a = vfma(vload(x + i), vload(w + i), a);
    for (int i = whole; i < k; i++)
        tail += x[i] * w[i];
    return vsum(a) + tail;
}

INLINE float row_l2(const float *x, const float *p, int k)
{
    vf a = vzero();
    float tail = 0.0f;
    const int whole = k - k % LANES;
    for (int i = 0; i < whole; i += LANES) {
        const vf d = vsub(vload(x + i), vload(p + i));
        a = vfma(d, d, a);
    }
    for (int i = whole; i < k; i++)
        tail += (x[i] - p[i]) * (x[i] - p[i]);
    return vsum(a) + tail;
}

INLINE float row_l1(const float *x, const float *p, int k)
{
    vf a = vzero();
    float tail = 0.0f;
    const int whole = k - k % LANES;
    for (int i = 0; i < whole; i += LANES)
        a = vadd(vabs(vsub(vload(x + i), vload(p + i))), a);
    for (int i = whole; i < k; i++)
        tail += x[i] > p[i] ? x[i] - p[i] : p[i] - x[i];
    return vsum(a) + tail;
}

INLINE void row_add(float *y, float x, const float *w, int n) /* y += x * w */
{
    for (int i = 0; i < n; i++)
        y[i] += x * w[i];
}
