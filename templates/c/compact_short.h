/* y[n] = init[n] + sum over k of x[k] with w[k][n]; short code, for weights of one byte. */

static void KERNEL(run)(const INPUT *x, const WEIGHT *w, const OUTPUT *init, OUTPUT *y, int k, int n)
{
    for (int o = 0; o < n; o++) {
        const WEIGHT *u = w + o;
        ACC a = ZERO;
        for (int i = 0; i < k; i++, u += n)
            a = STEP(a, READ(x + i), LOAD(u));
        STORE(y, init, o, a);
    }
}
