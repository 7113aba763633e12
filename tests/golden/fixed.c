/* ---- constants ---- */

static const int8_t n0012_start[6] = { /* positions [2, 3] */
    8, -8, 41, 7, -34, 23,
};
static const uint16_t n0014_start[2] = { /* radius [2] */
    29440, 29312,
};
static const uint32_t n0016_start[2] = { /* temperature [2] */
    10317438, 9767906,
};
static const int8_t n0018_start[4] = { /* values [2, 2] */
    -127, -39, -66, -127,
};
static const int8_t n0001_quads[8] = { /* positions [2, 3] */
    83, 61, -45, 0, -81, -40, 3, 0,
};
static const uint16_t n0005[2] = { /* offset [2] */
    13733, 17878,
};
static const uint32_t n0008[2] = { /* temperature [2] */
    5801981, 13070148,
};
static const int8_t n0010_quads[8] = { /* values [2, 2] */
    -33, 11, 0, 0, -61, 93, 0, 0,
};
static const int16_t n0021[2] = { /* bias [2] */
    -497, -272,
};
static const uint32_t n0023[2] = { /* scale [2] */
    12965025, 3945176,
};

/* ---- the network ---- */

void crystal_state_init(crystal_state *state)
{
    for (int i = 0; i < 6; i++)
        state->positions[i / 3][i % 3] = n0012_start[i];
    for (int i = 0; i < 2; i++)
        state->radius[i] = n0014_start[i];
    for (int i = 0; i < 2; i++)
        state->temperature[i] = n0016_start[i];
    for (int i = 0; i < 4; i++)
        state->values[i / 2][i % 2] = n0018_start[i];
}

void crystal_run(const crystal_in *in, crystal_out *out, crystal_scratch *s, const crystal_state *state)
{
    /* n0002 sumsq */
    {
        int32_t sum = 0;
        for (int i = 0; i < 3; i++) {
            sum += (int32_t)in[i] * in[i];
        }
        s->n0002[0] = (uint16_t)sum;
    }
    /* input with room for whole vectors */
    for (int i = 0; i < 3; i++)
        s->n0000[i] = in[i];
    /* n0003 matmul: positions [2, 3] */
    dot_s8_run(as_quads(s->n0000), as_quads(n0001_quads), 0, s->n0003, 1, 2);
    /* n0004..n0009 [2]: shift, add, sub, requant */
    for (int i = 0; i < 2; i++) {
        const int32_t v0003 = s->n0003[i];
        const int32_t v0004 = (int32_t)v0003 * 2;
        const int32_t v0005 = (int32_t)n0005[i];
        const int32_t v0006 = ((int32_t)v0004 + (int32_t)v0005);
        const int32_t v0002 = (int32_t)s->n0002[0];
        const int32_t v0007 = ((int32_t)v0006 - (int32_t)v0002);
        const int32_t v0008 = (int32_t)n0008[i];
        const int32_t v0009 = (int32_t)requant64(v0007, v0008, 30, 0, 255);
        s->n0009[i] = (uint8_t)v0009;
    }
    /* n0011 matmul: values [2, 2] */
    dot_u8_run(as_quads(s->n0009), as_quads(n0010_quads), 0, s->n0011, 1, 2);
    /* n0013 distance */
    for (int o = 0; o < 2; o++) {
        int32_t sum = 0;
        for (int i = 0; i < 3; i++) {
            const int32_t d = (int32_t)s->n0000[i] * 1 - (int32_t)state->positions[o][i] * 1;
            sum += d * d;
        }
        s->n0013[o] = (uint32_t)sum;
    }
    /* n0015..n0017 [2]: sub, requant */
    for (int i = 0; i < 2; i++) {
        const int32_t v0014 = (int32_t)state->radius[i];
        const int32_t v0013 = (int32_t)s->n0013[i];
        const int32_t v0015 = ((int32_t)v0014 - (int32_t)v0013);
        const int32_t v0016 = (int32_t)state->temperature[i];
        const int32_t v0017 = (int32_t)requant64(v0015, v0016, 30, 0, 255);
        s->n0017[i] = (uint8_t)v0017;
    }
    /* n0019 matmul */
    for (int o = 0; o < 2; o++) {
        int32_t sum = 0;
        for (int i = 0; i < 2; i++) {
            sum += (int32_t)s->n0017[i] * state->values[i][o];
        }
        s->n0019[o] = sum;
    }
    /* n0020..n0024 [2]: add, add, requant */
    for (int i = 0; i < 2; i++) {
        const int32_t v0011 = s->n0011[i];
        const int32_t v0019 = s->n0019[i];
        const int32_t v0020 = ((int32_t)v0011 + (int32_t)v0019);
        const int32_t v0021 = (int32_t)n0021[i];
        const int32_t v0022 = ((int32_t)v0020 + (int32_t)v0021);
        const int32_t v0023 = (int32_t)n0023[i];
        const int32_t v0024 = (int32_t)requant64(v0022, v0023, 26, (-32768), 32767);
        s->n0024[i] = (int16_t)v0024;
    }
    /* output */
    for (int i = 0; i < 2; i++)
        out[i] = s->n0024[i];
}

void crystal_run_batch(const crystal_in *in, crystal_out *out, int n, crystal_scratch *s, const crystal_state *state)
{
    for (int done = 0; done < n; done++)
        crystal_run(in + CRYSTAL_INPUTS * done, out + CRYSTAL_OUTPUTS * done, s, state);
}
