/* Matrix times vector, panel by panel: 64 rows are four vectors, and every row adds its products
   in the order of the columns, so all layers round alike. */

enum { CHUNK = 64, GROUP = 32 };

/* Digits of x [n], zero up to the next multiple of 64. */
static void quantize(const crystal *c, const float *x, int n, digits *q)
{
    const vf shift = vset(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vf top = vset(0.0f);
    for (int i = 0; i < n; i += WIDE)
        top = vmax(vabs(vload(x + i)), top);
    const float most = vtop(top);
    const vf up = vset(most > 1.0e-30f ? 16256.0f / most : 0.0f);
    q->high = c->room.high, q->low = c->room.low;
    q->size = most / 16256.0f;
    for (int i = 0; i < n; i += WIDE)
        vdigits(q->high + i, q->low + i, vadd(vmul(vload(x + i), up), shift));
    memset(q->high + n, 0, (size_t)(-n & 63));
    memset(q->low + n, 0, (size_t)(-n & 63));
    for (int start = 0; start < n; start += SPAN) {
        int32_t high = 0, low = 0;
        for (int i = start; OFFSET > 0 && i < n && i < start + SPAN; i++)
            high += q->high[i], low += q->low[i];
        q->sum_high[start / SPAN] = high;
        q->sum_low[start / SPAN] = low;
    }
}

static void clear(float *y)
{
    for (int i = 0; i < 64; i += WIDE)
        vstore(y + i, vset(0.0f));
}

INLINE int columns_per_step(int type)
{
    return type == F32 ? 1 : type == S16 ? 2 : type == Q4 ? 8 : 4;
}
INLINE int steps_of(const matrix *m)
{
    const int per = columns_per_step(m->type);
    return m->type == Q4 ? (m->cols + 31) / 32 * 4 : (m->cols + per - 1) / per;
}

/* ---- matrices in rows: steps of a panel, gathered ---- */

/* Element (r, c) is ``size`` bytes; zeros where there is none. */
static void gather_one(const matrix *m, int r, int c, int size, uint8_t *to)
{
    const size_t at = m->turned ? (size_t)c * (size_t)m->rows + (size_t)r
                                : (size_t)r * (size_t)m->cols + (size_t)c;
    if (r < m->rows && c < m->cols)
        memcpy(to, m->data + at * (size_t)size, (size_t)size);
    else
        memset(to, 0, (size_t)size);
}
static const uint8_t *gather(const matrix *m, int panel, int step, int steps, uint8_t *to)
{
    const int per = columns_per_step(m->type), row_bytes = steps_of(m) * 4;
    for (int s = 0; s < steps; s++)
        for (int i = 0; i < 64; i++) {
            const int r = panel * 64 + i;
            uint8_t *word = to + (s * 64 + i) * 4;
            if (m->type == Q4 && r < m->rows)
                memcpy(word, m->data + (size_t)r * (size_t)row_bytes + (step + s) * 4, 4);
            else if (m->type == Q4)
                memset(word, 0, 4);
            else
                for (int c = 0; c < per; c++)
                    gather_one(m, r, (step + s) * per + c, 4 / per, word + c * (4 / per));
        }
    return to;
}
static const uint16_t *gather_halves(
    const matrix *m, const uint16_t *from, int panel, int group, uint16_t *to)
{
    const int groups = (m->cols + GROUP - 1) / GROUP;
    for (int i = 0; i < 64; i++) {
        const int r = panel * 64 + i;
        to[i] = r < m->rows ? from[(size_t)r * (size_t)groups + (size_t)group] : 0;
    }
    return to;
}
/* Scales of the 64 rows of a panel. */
static const float *gather_scales(const matrix *m, int panel, float *to)
{
    const float *scales = m->scales;
    for (int i = 0; i < 64; i++)
        to[i] = panel * 64 + i < m->rows ? scales[panel * 64 + i] : 0.0f;
    return to;
}

/* ---- whole matrices ---- */

typedef struct {
    const matrix *m;
    int panel, steps;
    uint8_t room[CHUNK * 256]; /* of gathered steps */
} walk;

/* The next steps of a panel from ``step`` on, ``n`` of them, none from ``end`` on. */
INLINE const uint8_t *next_steps(walk *w, int step, int end, int *n)
{
    const int left = end - step;
    *n = w->m->panels || left < CHUNK ? left : CHUNK;
    if (w->m->panels)
        return w->m->data + ((size_t)w->panel * (size_t)w->steps + (size_t)step) * 256;
    return gather(w->m, w->panel, step, *n, w->room);
}

/* Sums over columns as floats: of f32, of s16, and of every type but q4 where not DOT. */
static void float_panel(walk *w, const float *x, int what, float *sums)
{
    const matrix *m = w->m;
    const int per = columns_per_step(m->type);
    float scales[64];
    int n;
    for (int i = 0; i < 64; i++)
        scales[i] = m->scale;
    if (m->type == S8R)
        gather_scales(m, w->panel, scales);
    for (int step = 0; step < w->steps; step += n) {
        const uint8_t *at = next_steps(w, step, w->steps, &n);
        const int left = m->cols - step * per, columns = n * per < left ? n * per : left;
        if (m->type == F32 && what == DOT)
            panel_f32(at, x, columns, DOT, sums);
        else if (m->type == F32)
            panel_f32(at, x, columns, what, sums);
        else
            panel_integers(at, x, columns, 4 / per, what, scales, m->zero, sums);
        x += columns;
    }
}
static void float_product(const matrix *m, const float *x, float *y, int what)
{
    const int scaled = m->type == S16 && what == DOT;
    const float offset = scaled ? m->zero * total(x, m->cols) : 0.0f;
    walk w;
    w.m = m, w.steps = steps_of(m);
    for (w.panel = 0; w.panel * 64 < m->rows; w.panel++, y += 64) {
        clear(y);
        float_panel(&w, x, what, y);
        for (int i = 0; scaled && i < 64; i += WIDE)
            vstore(y + i, vadd(vmul(vload(y + i), vset(m->scale)), vset(offset)));
    }
}

/* y [rows] = squared lengths of the rows; ``x`` [columns] is only read. */
static void squares(const matrix *m, const float *x, float *y)
{
    float_product(m, x, y, SQUARES);
}

/* y [64] = sums of a panel over digits: exact integers for each span of columns. */
static void byte_panel(walk *w, const digits *x, float *y)
{
    clear(y);
    for (int start = 0; start < w->steps; start += SPAN / 4) {
        const int left = w->steps - start, end = start + (left < SPAN / 4 ? left : SPAN / 4);
        int32_t high[64], low[64];
        int n;
        vfill(high, -OFFSET * x->sum_high[start / (SPAN / 4)]);
        vfill(low, -OFFSET * x->sum_low[start / (SPAN / 4)]);
        for (int step = start; step < end; step += n) {
            const uint8_t *at = next_steps(w, step, end, &n);
            panel_s8(at, x, step * 4, n, high, low);
        }
        for (int i = 0; i < 64; i += WIDE) {
            const vf sum = vadd(vmul(vload_int(high + i), vset(128.0f)), vload_int(low + i));
            vstore(y + i, vadd(vload(y + i), sum));
        }
    }
}

/* ``turned`` matrices have had the scales of their columns put into x. */
static void byte_product(const crystal *c, const matrix *m, const float *x, float *y)
{
    digits q;
    quantize(c, x, m->cols, &q);
    const float offset = m->type == S8 ? m->zero * total(x, m->cols) : 0.0f;
    float gathered[64];
    walk w;
    w.m = m, w.steps = steps_of(m);
    for (w.panel = 0; w.panel * 64 < m->rows; w.panel++, y += 64) {
        const float *scales = (const float *)m->scales + w.panel * 64;
        byte_panel(&w, &q, y);
        if (m->type == S8R && !m->turned && !m->panels)
            scales = gather_scales(m, w.panel, gathered);
        for (int i = 0; i < 64; i += WIDE) {
            vf scaled = vmul(vload(y + i), vset(q.size));
            if (m->type == S8)
                scaled = vadd(vmul(scaled, vset(m->scale)), vset(offset));
            else if (!m->turned)
                scaled = vmul(scaled, vload(scales + i));
            vstore(y + i, scaled);
        }
    }
}

/* Nibbles are unsigned, so no offset; every group of 32 columns has a scale and a minimum. Four
   bits a weight deserve no more than the high digits of x. */
#if !defined(GROUP_Q4)
static void group_q4(const uint8_t *w, const int8_t *x, const uint16_t *scale,
                     const uint16_t *least, float sum, vf *y)
{
    int32_t dots[64];
    panel_q4(w, x, dots);
    for (int i = 0; i < 64; i += WIDE)
        y[i / WIDE] = with_group(y[i / WIDE], vload_int(dots + i), scale + i, vset(sum), least + i);
}
#endif
static void nibble_panel(walk *w, const int8_t *x, const float *sums, float *y)
{
    const matrix *m = w->m;
    const int groups = w->steps / 4;
    uint16_t scale_room[64], least_room[64];
    vf all[64 / WIDE];
    for (int i = 0; i < 64; i += WIDE)
        all[i / WIDE] = vset(0.0f);
    for (int g = 0; g < groups; g++) {
        const size_t at = ((size_t)w->panel * (size_t)groups + (size_t)g) * 64;
        const uint16_t *scale = (const uint16_t *)m->scales + at, *least = m->minima + at;
        const uint8_t *data = m->data + at * 16;
        if (!m->panels) {
            scale = gather_halves(m, m->scales, w->panel, g, scale_room);
            least = gather_halves(m, m->minima, w->panel, g, least_room);
            data = gather(m, w->panel, g * 4, 4, w->room);
        }
        group_q4(data, x + g * GROUP, scale, least, sums[g], all);
    }
    for (int i = 0; i < 64; i += WIDE)
        vstore(y + i, all[i / WIDE]);
}
static void nibble_product(const crystal *c, const matrix *m, const float *x, float *y)
{
    digits q;
    walk w;
    quantize(c, x, m->cols, &q);
    w.m = m, w.steps = steps_of(m);
    for (int g = 0; g < w.steps / 4; g++) {
        int32_t sum = 0;
        for (int i = g * GROUP; i < g * GROUP + GROUP; i++)
            sum += q.high[i];
        c->room.sums[g] = (float)sum;
    }
    for (w.panel = 0; w.panel * 64 < m->rows; w.panel++, y += 64) {
        nibble_panel(&w, q.high, c->room.sums, y);
        for (int i = 0; i < 64; i += WIDE)
            vstore(y + i, vmul(vload(y + i), vset(q.size * 128.0f)));
    }
}

/* y [rows] = m x + bias; y has room for whole panels, and is zero past its end. */
static void product(const crystal *c, const matrix *m, const float *x, float *y)
{
    if (m->type == Q4)
        nibble_product(c, m, x, y);
    else if (m->type == F32 || m->type == S16)
        float_product(m, x, y, DOT);
    else
        byte_product(c, m, x, y);
    for (int i = 0; m->bias && i < m->rows; i += WIDE)
        vstore(y + i, vadd(vload(y + i), vload(m->bias + i)));
    for (int i = m->rows; i & 63; i++)
        y[i] = 0.0f;
}
