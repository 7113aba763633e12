/* ---- distances to int8 positions: p[n] = scale[n] * q[k][n] ---- */

INLINE void l2_s8(const float *x, const int8_t *q, const float *scale, float *y, int k, int n)
{
    for (int o = 0; o < n; o += LANES) {
        vf a = vzero();
        const vf s = vload(scale + o);
        for (int i = 0; i < k; i++) {
            const vf d = vsub(vset1(x[i]), vmul(s, vload_s8(q + i * n + o)));
            a = vfma(d, d, a);
        }
        vstore(y + o, a);
    }
}

INLINE void l1_s8(const float *x, const int8_t *q, const float *scale, float *y, int k, int n)
{
    for (int o = 0; o < n; o += LANES) {
        vf a = vzero();
        const vf s = vload(scale + o);
        for (int i = 0; i < k; i++)
            a = vadd(a, vabs(vsub(vset1(x[i]), vmul(s, vload_s8(q + i * n + o)))));
        vstore(y + o, a);
    }
}
