/* y[n] = init[n] + sum over k of x[k] with w[k][n]; four outputs share a read of x. */

static void KERNEL(run)(const INPUT *x, const WEIGHT *w, const OUTPUT *init, OUTPUT *y, int k, int n)
{
    const int fours = n - n % 4;
    for (int o = 0; o < fours; o += 4) {
        ACC a = ZERO, b = ZERO, c = ZERO, d = ZERO;
        for (int i = 0; i < k; i++) {
            const SPLAT p = READ(x + i);
            const WEIGHT *u = w + i * n + o;
            a = STEP(a, p, LOAD(u));
            b = STEP(b, p, LOAD(u + 1));
            c = STEP(c, p, LOAD(u + 2));
            d = STEP(d, p, LOAD(u + 3));
        }
        STORE(y, init, o, a);
        STORE(y, init, o + 1, b);
        STORE(y, init, o + 2, c);
        STORE(y, init, o + 3, d);
    }
    for (int o = fours; o < n; o++) {
        ACC a = ZERO;
        for (int i = 0; i < k; i++)
            a = STEP(a, READ(x + i), LOAD(w + i * n + o));
        STORE(y, init, o, a);
    }
}
