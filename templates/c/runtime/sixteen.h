/* What layers of sixteen lanes have in common: sums over lanes, panels of float products. */

static float total(const float *x, int n)
{
    vf sum = vset(0.0f);
    for (int i = 0; i < n; i += 16)
        sum = vadd(sum, vload(x + i));
    return vsum(sum);
}
static float total_squares(const float *x, float mean, int n)
{
    vf sum = vset(0.0f);
    for (int i = 0; i < n; i += 16) {
        const vf d = vsub(vload(x + i), vset(mean)), in = n - i < 16 ? vfirst(d, n - i) : d;
        sum = vadd(sum, vmul(in, in));
    }
    return vsum(sum);
}

INLINE void panel_f32(const uint8_t *w, const float *x, int n, int what, float *sums)
{
    const float *p = (const float *)(const void *)w;
    vf a = vload(sums), b = vload(sums + 16), c = vload(sums + 32), d = vload(sums + 48);
    for (int k = 0; k < n; k++, p += 64) {
        const vf e = vset(x[k]);
        a = meet(a, vload(p), e, what);
        b = meet(b, vload(p + 16), e, what);
        c = meet(c, vload(p + 32), e, what);
        d = meet(d, vload(p + 48), e, what);
    }
    vstore(sums, a), vstore(sums + 16, b), vstore(sums + 32, c), vstore(sums + 48, d);
}
static void panel_integers(const uint8_t *w, const float *x, int n, int size, int what,
                           const float *scale, float zero, float *sums)
{
    const int per = size == 1 ? 4 : 2, down = 32 - 8 * size;
    for (int k = 0; k < n; k++) {
        const int up = 32 - 8 * size * (k % per + 1);
        for (int i = 0; i < 64; i += 16) {
            const vf q = vsigned(w + (size_t)(k / per) * 256 + 4 * i, up, down);
            const vf p = what == DOT ? q : vadd(vmul(q, vload(scale + i)), vset(zero));
            vstore(sums + i, meet(vload(sums + i), p, vset(x[k]), what));
        }
    }
}
