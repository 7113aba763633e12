/* The same for a tile of six samples, a to f, which share every load of the weights. */

#define TILE const INPUT *x, int ldx, const WEIGHT *w, const OUTPUT *init, OUTPUT *y, int k, int n
#define SAMPLES(m) m(a, 0) m(b, 1) m(c, 2) m(d, 3) m(e, 4) m(f, 5)
#define START4(s, t) ACC s##0 = ZERO, s##1 = ZERO, s##2 = ZERO, s##3 = ZERO;
#define START2(s, t) ACC s##0 = ZERO, s##1 = ZERO;
#define START1(s, t) ACC s##0 = ZERO;
#define STEP4(s, t) STEP2(s, t) s##2 = STEP(s##2, p##s, w2); s##3 = STEP(s##3, p##s, w3);
#define STEP2(s, t) STEP1(s, t) s##1 = STEP(s##1, p##s, w1);
#define STEP1(s, t) const SPLAT p##s = READ(x + t * ldx + i); s##0 = STEP(s##0, p##s, w0);
#define STORE4(s, t) STORE2(s, t) \
    STORE(y + t * n, init, 2 * LANES, s##2); STORE(y + t * n, init, 3 * LANES, s##3);
#define STORE2(s, t) STORE1(s, t) STORE(y + t * n, init, LANES, s##1);
#define STORE1(s, t) STORE(y + t * n, init, 0, s##0);

INLINE void KERNEL(tile4)(TILE)
{
    SAMPLES(START4)
    for (int i = 0; i < k; i++) {
        const WEIGHT *u = w + i * n;
        const PACKED w0 = LOAD(u), w1 = LOAD(u + LANES), w2 = LOAD(u + 2 * LANES), w3 = LOAD(u + 3 * LANES);
        SAMPLES(STEP4)
    }
    SAMPLES(STORE4)
}

INLINE void KERNEL(tile2)(TILE)
{
    SAMPLES(START2)
    for (int i = 0; i < k; i++) {
        const PACKED w0 = LOAD(w + i * n), w1 = LOAD(w + i * n + LANES);
        SAMPLES(STEP2)
    }
    SAMPLES(STORE2)
}

INLINE void KERNEL(tile1)(TILE)
{
    SAMPLES(START1)
    for (int i = 0; i < k; i++) {
        const PACKED w0 = LOAD(w + i * n);
        SAMPLES(STEP1)
    }
    SAMPLES(STORE1)
}

/* y [samples, n] from x [samples, k], whose rows are ldx apart; samples is 1 or 6 */
INLINE void KERNEL(run)(TILE, int samples)
{
    const int fours = LANES == 16 ? n - n % (4 * LANES) : 0;
    const int pairs = n - (n - fours) % (2 * LANES);
    if (samples == 1) {
        KERNEL(one)(x, w, init, y, k, n);
        return;
    }
    for (int o = 0; o < fours; o += 4 * LANES)
        KERNEL(tile4)(x, ldx, w + o, init ? init + o : init, y + o, k, n);
    for (int o = fours; o < pairs; o += 2 * LANES)
        KERNEL(tile2)(x, ldx, w + o, init ? init + o : init, y + o, k, n);
    for (int o = pairs; o < n; o += LANES)
        KERNEL(tile1)(x, ldx, w + o, init ? init + o : init, y + o, k, n);
}
#undef TILE
#undef SAMPLES
#undef START4
#undef START2
#undef START1
#undef STEP4
#undef STEP2
#undef STEP1
#undef STORE4
#undef STORE2
#undef STORE1
