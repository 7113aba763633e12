/* The same for an input that is mostly zero, as pixels are: the weights of a zero are never read.
   n is a multiple of 4 * LANES; index [count] lists the inputs that are not zero. */

INLINE void KERNEL(nonzero)(const INPUT *x, const WEIGHT *w, const OUTPUT *init, OUTPUT *y, int n,
                            const int32_t *index, int count)
{
    const int pairs = count - count % 2;
    for (int o = 0; o < n; o += 4 * LANES) {
        ACC a0 = ZERO, a1 = ZERO, a2 = ZERO, a3 = ZERO, b0 = ZERO, b1 = ZERO, b2 = ZERO, b3 = ZERO;
        for (int i = 0; i < pairs; i += 2) {
            const SPLAT p = READ(x + index[i]), q = READ(x + index[i + 1]);
            const WEIGHT *u = w + index[i] * n + o, *v = w + index[i + 1] * n + o;
            a0 = STEP(a0, p, LOAD(u));
            a1 = STEP(a1, p, LOAD(u + LANES));
            a2 = STEP(a2, p, LOAD(u + 2 * LANES));
            a3 = STEP(a3, p, LOAD(u + 3 * LANES));
            b0 = STEP(b0, q, LOAD(v));
            b1 = STEP(b1, q, LOAD(v + LANES));
            b2 = STEP(b2, q, LOAD(v + 2 * LANES));
            b3 = STEP(b3, q, LOAD(v + 3 * LANES));
        }
        if (pairs < count) {
            const SPLAT p = READ(x + index[pairs]);
            const WEIGHT *u = w + index[pairs] * n + o;
            a0 = STEP(a0, p, LOAD(u));
            a1 = STEP(a1, p, LOAD(u + LANES));
            a2 = STEP(a2, p, LOAD(u + 2 * LANES));
            a3 = STEP(a3, p, LOAD(u + 3 * LANES));
        }
        STORE(y, init, o, PLUS(a0, b0));
        STORE(y, init, o + LANES, PLUS(a1, b1));
        STORE(y, init, o + 2 * LANES, PLUS(a2, b2));
        STORE(y, init, o + 3 * LANES, PLUS(a3, b3));
    }
}

/* Counts the zeros first. Dense inputs, and the scalar reference, take every weight. */
INLINE void KERNEL(input)(const INPUT *x, int ldx, const WEIGHT *w, const OUTPUT *init, OUTPUT *y,
                          int k, int n, int samples, int32_t *index)
{
    int count = LANES > 1 ? FIND(x, k, index) : k;
    if (3 * count > (samples == 1 ? 2 : 1) * k) {
        KERNEL(run)(x, ldx, w, init, y, k, n, samples);
        return;
    }
    for (int t = 0; t < samples; t++) {
        if (t > 0)
            count = FIND(x + t * ldx, k, index);
        KERNEL(nonzero)(x + t * ldx, w, init, y + t * n, n, index, count);
    }
}
