/* y[n] = init[n] + sum over k of x[k] with w[k][n]; lanes are outputs, n a multiple of LANES.
   Accumulators have names of their own: enough independent chains to hide the latency of the
   multiply-add, and no array that a compiler would keep in memory. */

INLINE void KERNEL(columns4)(const INPUT *x, const WEIGHT *w, const OUTPUT *init, OUTPUT *y, int k, int n)
{
    ACC a0 = ZERO, a1 = ZERO, a2 = ZERO, a3 = ZERO, b0 = ZERO, b1 = ZERO, b2 = ZERO, b3 = ZERO;
    const int pairs = k - k % 2;
    for (int i = 0; i < pairs; i += 2) {
        const SPLAT p = READ(x + i), q = READ(x + i + 1);
        const WEIGHT *u = w + i * n, *v = u + n;
        a0 = STEP(a0, p, LOAD(u));
        a1 = STEP(a1, p, LOAD(u + LANES));
        a2 = STEP(a2, p, LOAD(u + 2 * LANES));
        a3 = STEP(a3, p, LOAD(u + 3 * LANES));
        b0 = STEP(b0, q, LOAD(v));
        b1 = STEP(b1, q, LOAD(v + LANES));
        b2 = STEP(b2, q, LOAD(v + 2 * LANES));
        b3 = STEP(b3, q, LOAD(v + 3 * LANES));
    }
    if (pairs < k) {
        const SPLAT p = READ(x + pairs);
        const WEIGHT *u = w + pairs * n;
        a0 = STEP(a0, p, LOAD(u));
        a1 = STEP(a1, p, LOAD(u + LANES));
        a2 = STEP(a2, p, LOAD(u + 2 * LANES));
        a3 = STEP(a3, p, LOAD(u + 3 * LANES));
    }
    STORE(y, init, 0, PLUS(a0, b0));
    STORE(y, init, LANES, PLUS(a1, b1));
    STORE(y, init, 2 * LANES, PLUS(a2, b2));
    STORE(y, init, 3 * LANES, PLUS(a3, b3));
}

INLINE void KERNEL(columns1)(const INPUT *x, const WEIGHT *w, const OUTPUT *init, OUTPUT *y, int k, int n)
{
    ACC a = ZERO, b = ZERO, c = ZERO, d = ZERO, e = ZERO, f = ZERO, g = ZERO, h = ZERO;
    const int eights = k - k % 8;
    for (int i = 0; i < eights; i += 8) {
        const WEIGHT *u = w + i * n;
        a = STEP(a, READ(x + i), LOAD(u));
        b = STEP(b, READ(x + i + 1), LOAD(u + n));
        c = STEP(c, READ(x + i + 2), LOAD(u + 2 * n));
        d = STEP(d, READ(x + i + 3), LOAD(u + 3 * n));
        e = STEP(e, READ(x + i + 4), LOAD(u + 4 * n));
        f = STEP(f, READ(x + i + 5), LOAD(u + 5 * n));
        g = STEP(g, READ(x + i + 6), LOAD(u + 6 * n));
        h = STEP(h, READ(x + i + 7), LOAD(u + 7 * n));
    }
    for (int i = eights; i < k; i++)
        a = STEP(a, READ(x + i), LOAD(w + i * n));
    STORE(y, init, 0, PLUS(PLUS(PLUS(a, b), PLUS(c, d)), PLUS(PLUS(e, f), PLUS(g, h))));
}

INLINE void KERNEL(one)(const INPUT *x, const WEIGHT *w, const OUTPUT *init, OUTPUT *y, int k, int n)
{
    const int fours = n - n % (4 * LANES);
    for (int o = 0; o < fours; o += 4 * LANES)
        KERNEL(columns4)(x, w + o, init ? init + o : init, y + o, k, n);
    for (int o = fours; o < n; o += LANES)
        KERNEL(columns1)(x, w + o, init ? init + o : init, y + o, k, n);
}
