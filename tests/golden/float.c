/* ---- constants ---- */

static const union { uint32_t bits[6]; float f[6]; } n0012_start_words CRYSTAL_ALIGNED = { { /* positions [2, 3] */
    0x3e000000, 0xbe000000, 0x3f240000, 0x3de00000, 0xbf080000, 0x3eb80000,
} };
#define n0012_start n0012_start_words.f
static const union { uint32_t bits[16]; float f[16]; } n0016_start_words CRYSTAL_ALIGNED = { { /* temperature [2] */
    0x3f800000, 0x3f9d8800, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
} };
#define n0016_start n0016_start_words.f
static const union { uint32_t bits[4]; float f[4]; } n0019_start_words CRYSTAL_ALIGNED = { { /* values [2, 2] */
    0x3fb0b000, 0x3f3ad000, 0x3f92b000, 0x3e974000,
} };
#define n0019_start n0019_start_words.f
static const union { uint32_t bits[16]; float f[16]; } n0004_words CRYSTAL_ALIGNED = { { /* offset [2] */
    0xc0456c00, 0xbfff5000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
} };
#define n0004 n0004_words.f
static const union { uint32_t bits[48]; float f[48]; } n0001_panel_words CRYSTAL_ALIGNED = { { /* positions [2, 3] */
    0x40260000, 0xc0220000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x3ff40000, 0xbfa00000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0xbfb40000, 0x3dc00000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
} };
#define n0001_panel n0001_panel_words.f
static const union { uint32_t bits[16]; float f[16]; } n0007_words CRYSTAL_ALIGNED = { { /* scale [2] */
    0x3ebe37c6, 0x3ec5ad3c, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
} };
#define n0007 n0007_words.f
static const union { uint32_t bits[32]; float f[32]; } n0010_panel_words CRYSTAL_ALIGNED = { { /* values [2, 2] */
    0x3efdc000, 0x3e05c000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0xbf672000, 0x3cf80000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
} };
#define n0010_panel n0010_panel_words.f
static const union { uint32_t bits[16]; float f[16]; } n0014_words CRYSTAL_ALIGNED = { { /* other [1] */
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
} };
#define n0014 n0014_words.f
static const union { uint32_t bits[16]; float f[16]; } n0022_words CRYSTAL_ALIGNED = { { /* bias [2] */
    0xbdc00000, 0xbc800000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000,
} };
#define n0022 n0022_words.f

/* ---- the network ---- */

void crystal_state_init(crystal_state *state)
{
    for (int i = 0; i < 6; i++)
        state->positions[i / 3][i % 3] = n0012_start[i];
    for (int i = 0; i < 16; i++)
        state->temperature[i] = n0016_start[i];
    for (int i = 0; i < 4; i++)
        state->values[i / 2][i % 2] = n0019_start[i];
}

/* All samples of a tile together, 1 or 6: one body, compiled for both. */
INLINE void forward(const crystal_in *in, crystal_out *out, crystal_scratch *s, const crystal_state *state, const int samples)
{
    /* n0002 sum of squares of n0000 */
    for (int t = 0; t < samples; t++) {
        s->n0002[16 * t] = sumsq(in + 3 * t, 3);
    }
    /* n0005 matmul: positions [2, 3] */
    matmul_f32_run(in, 3, n0001_panel, n0004, s->n0005, 3, 16, samples);
    /* n0006..n0009 [2]: sub, mul, exp */
    for (int t = 0; t < samples; t++) {
        const vf v0002 = vset1(s->n0002[16 * t]);
        for (int i = 0; i < 16; i += LANES) {
            const vf v0005 = vload(s->n0005 + 16 * t + i);
            const vf v0006 = vsub(v0005, v0002);
            const vf v0007 = vload(n0007 + i);
            const vf v0008 = vmul(v0006, v0007);
            const vf v0009 = vexp(v0008);
            vstore(s->n0009 + 16 * t + i, v0009);
        }
    }
    /* n0011 matmul: values [2, 2] */
    matmul_f32_run(s->n0009, 16, n0010_panel, 0, s->n0011, 2, 16, samples);
    /* n0013 distance: active positions [2, 3] */
    for (int t = 0; t < samples; t++) {
        for (int i = 0; i < 2; i++)
            s->n0013[16 * t + i] = row_l2(in + 3 * t, state->positions[i], 3);
    }
    /* n0015..n0018 [2]: sub, div, exp */
    for (int t = 0; t < samples; t++) {
        const vf v0014 = vset1(n0014[0]);
        for (int i = 0; i < 16; i += LANES) {
            const vf v0013 = vload(s->n0013 + 16 * t + i);
            const vf v0015 = vsub(v0014, v0013);
            const vf v0016 = vload(state->temperature + i);
            const vf v0017 = vdiv(v0015, v0016);
            const vf v0018 = vexp(v0017);
            vstore(s->n0018 + 16 * t + i, v0018);
        }
    }
    /* n0020 matmul: active values [2, 2] */
    for (int t = 0; t < samples; t++) {
        for (int i = 0; i < 2; i++)
            s->n0020[16 * t + i] = 0.0f;
        for (int i = 0; i < 2; i++)
            row_add(s->n0020 + 16 * t, s->n0018[16 * t + i], state->values[i], 2);
    }
    /* n0021..n0023 [2]: add, add */
    for (int t = 0; t < samples; t++) {
        for (int i = 0; i < 16; i += LANES) {
            const vf v0011 = vload(s->n0011 + 16 * t + i);
            const vf v0020 = vload(s->n0020 + 16 * t + i);
            const vf v0021 = vadd(v0011, v0020);
            const vf v0022 = vload(n0022 + i);
            const vf v0023 = vadd(v0021, v0022);
            vstore(s->n0023 + 16 * t + i, v0023);
        }
    }
    /* output */
    for (int t = 0; t < samples; t++) {
        for (int i = 0; i < 2; i++)
            out[2 * t + i] = s->n0023[16 * t + i];
    }
}

void crystal_run(const crystal_in *in, crystal_out *out, crystal_scratch *s, const crystal_state *state)
{
    forward(in, out, s, state, 1);
}

void crystal_run_batch(const crystal_in *in, crystal_out *out, int n, crystal_scratch *s, const crystal_state *state)
{
    int done = 0;
    for (; n - done >= CRYSTAL_TILE; done += CRYSTAL_TILE)
        forward(in + CRYSTAL_INPUTS * done, out + CRYSTAL_OUTPUTS * done, s, state, CRYSTAL_TILE);
    for (; done < n; done++)
        crystal_run(in + CRYSTAL_INPUTS * done, out + CRYSTAL_OUTPUTS * done, s, state);
}
