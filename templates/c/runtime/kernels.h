/* Matrix times vector, panel by panel: 64 rows are four vectors, and every row adds its products
   in the order of the columns, so all layers round alike. */

enum { CHUNK = 64, GROUP = 32 };

#if defined(WHOLE_S8) && defined(__GNUC__)
#define COLD __attribute__((cold, noinline)) /* small, not fast: files as they are never come here */
#else
#define COLD
#endif

#if !defined(SUM_DIGITS)
#define SUM_DIGITS(x, n) ((void)(n), 0) /* is multiplied by no OFFSET */
#endif

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
    if (n & 63) {
        memset(q->high + n, 0, (size_t)(-n & 63));
        memset(q->low + n, 0, (size_t)(-n & 63));
    }
    for (int start = 0; OFFSET > 0 && start < n; start += SPAN) {
        const int columns = n - start < SPAN ? n - start : SPAN;
        q->sum_high[start / SPAN] = SUM_DIGITS(q->high + start, columns);
        q->sum_low[start / SPAN] = SUM_DIGITS(q->low + start, columns);
    }
}

static void clear(float *y)
{
    for (int i = 0; i < 64; i += WIDE)
        vstore(y + i, vset(0.0f));
}

/* Scales of the 64 rows of a panel: their own, or that of the tensor. */
static const float *gather_scales(const matrix *m, int panel, float *to)
{
    const float *scales = m->turned ? NULL : m->scales;
    if (scales && m->panels)
        return scales + panel * 64;
    for (int i = 0; i < 64; i++)
        to[i] = !scales ? m->scale : panel * 64 + i < m->rows ? scales[panel * 64 + i] : 0.0f;
    return to;
}

/* ---- whole matrices ---- */

typedef struct {
    const matrix *m;
    int panel, steps;
    uint8_t room[CHUNK * 256]; /* of gathered steps */
} walk;

INLINE void start(walk *w, const matrix *m)
{
    w->m = m;
    w->steps = m->steps;
    w->panel = m->back ? (m->rows + 63) / 64 : -1;
}
INLINE int next_panel(walk *w)
{
    w->panel += w->m->back ? -1 : 1;
    return w->panel >= 0 && w->panel * 64 < w->m->rows;
}

/* The next steps of a panel from ``step`` on, ``n`` of them, none from ``end`` on. */
INLINE const uint8_t *next_steps(walk *w, int step, int end, int *n)
{
    const int left = end - step;
    *n = w->m->panels || left < CHUNK ? left : CHUNK;
    if (w->m->panels)
        return w->m->data + ((size_t)w->panel * (size_t)w->steps + (size_t)step) * 256;
    return crystal_gather(w->m, w->panel, step, *n, w->room);
}

/* |x - w| of floats. */
COLD static void panel_l1(const uint8_t *w, const float *x, int n, float *sums)
{
    panel_f32(w, x, n, L1, sums);
}

/* Sums over columns as floats: of f32, s16, s16r, and of every type but q4 where not DOT. */
static void float_panel(walk *w, const float *x, int what, const float *scales, float *sums)
{
    const matrix *m = w->m;
    const int per = m->per;
    int n;
    for (int step = 0; step < w->steps; step += n) {
        const uint8_t *at = next_steps(w, step, w->steps, &n);
        const int left = m->cols - step * per, columns = n * per < left ? n * per : left;
        if (m->type == F32 && what == DOT)
            panel_f32(at, x, columns, DOT, sums);
        else if (m->type == F32)
            panel_l1(at, x, columns, sums);
        else
            panel_integers(at, x, columns, 4 / per, what, scales, m->zero, sums);
        x += columns;
    }
}
static void float_product(const matrix *m, const float *x, float *y, int what)
{
    const int scaled = m->type != F32 && what == DOT;
    const float offset = scaled ? m->zero * total(x, m->cols) : 0.0f;
    float room[64];
    const float *scales = room; /* of no use to f32 */
    walk w;
    for (start(&w, m); next_panel(&w);) {
        float *sums = y + w.panel * 64;
        clear(sums);
        if (m->type != F32)
            scales = gather_scales(m, w.panel, room);
        float_panel(&w, x, what, scales, sums);
        for (int i = 0; scaled && i < 64; i += WIDE)
            vstore(sums + i, vadd(vmul(vload(sums + i), vload(scales + i)), vset(offset)));
    }
}

/* y [64] = sums of a panel over digits: exact integers for each span of columns. */
COLD static void byte_panel(walk *w, const digits *x, float *y)
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

/* y [64] = a panel times x; ``turned`` matrices have had the scales of their columns put into x. */
COLD static void scaled_panel(walk *w, const digits *q, float offset, float *y)
{
    const matrix *m = w->m;
    float room[64];
    const float *scales = gather_scales(m, w->panel, room);
    byte_panel(w, q, y);
    for (int i = 0; i < 64; i += WIDE) {
        const vf scaled = vmul(vmul(vload(y + i), vset(q->size)), vload(scales + i));
        vstore(y + i, m->type == S8 ? vadd(scaled, vset(offset)) : scaled);
    }
}
static void byte_product(const matrix *m, const float *x, const digits *q, float *y)
{
    const float offset = m->type == S8 ? m->zero * total(x, m->cols) : 0.0f;
    walk w;
    for (start(&w, m); next_panel(&w);) {
        float *sums = y + w.panel * 64;
#if defined(WHOLE_S8)
        const size_t panel = (size_t)w.panel;
        if (m->panels && m->type == S8R && w.steps <= SPAN / 4)
            whole_s8(m->data + panel * (size_t)w.steps * 256, q, w.steps,
                     m->turned ? NULL : (const float *)m->scales + panel * 64, sums);
        else
#endif
            scaled_panel(&w, q, offset, sums);
    }
}

/* y [64] = size (y + groups of 32 columns of a panel). Nibbles are unsigned, so no offset;
   every group has a scale and a minimum for each row. Four bits a weight deserve no more than the
   high digits of x. */
#if !defined(GROUPS_Q4)
static void groups_q4(const uint8_t *w, const int8_t *x, const uint16_t *scale,
                      const uint16_t *least, const float *sums, int groups, float size, float *y)
{
    for (int g = 0; g < groups; g++, w += 1024, x += GROUP, scale += 64, least += 64) {
        int32_t dots[64];
        panel_q4(w, x, dots);
        for (int i = 0; i < 64; i += WIDE)
            vstore(y + i, with_group(vload(y + i), vload_int(dots + i), scale + i, vset(sums[g]),
                                     least + i));
    }
    for (int i = 0; i < 64; i += WIDE)
        vstore(y + i, vmul(vload(y + i), vset(size)));
}
#endif
static void nibble_panel(walk *w, const int8_t *x, const float *sums, float size, float *y)
{
    const matrix *m = w->m;
    const int groups = w->steps / 4;
    const size_t at = (size_t)w->panel * (size_t)groups * 64;
    uint16_t scales[64], minima[64];
    clear(y);
    if (m->panels)
        groups_q4(m->data + at * 16, x, (const uint16_t *)m->scales + at, m->minima + at, sums,
                  groups, size, y);
    for (int g = 0; !m->panels && g < groups; g++) {
        crystal_gather_halves(m, m->scales, w->panel, g, scales);
        crystal_gather_halves(m, m->minima, w->panel, g, minima);
        crystal_gather(m, w->panel, g * 4, 4, w->room);
        groups_q4(w->room, x + g * GROUP, scales, minima, sums + g, 1,
                  g + 1 < groups ? 1.0f : size, y);
    }
}
static void nibble_product(const crystal *c, const matrix *m, const digits *q, float *y)
{
    walk w;
    start(&w, m);
    for (int g = 0; g < w.steps / 4; g++) {
        int32_t sum = 0;
        for (int i = g * GROUP; i < g * GROUP + GROUP; i++)
            sum += q->high[i];
        c->room.sums[g] = (float)sum;
    }
    while (next_panel(&w))
        nibble_panel(&w, q->high, c->room.sums, q->size * 128.0f, y + w.panel * 64);
}

/* What some rows have beyond their eight or sixteen bits. */
static void add_fine(const crystal *c, const matrix *m, const digits *q, float *y)
{
    matrix fine = *m;
    fine.data = m->fine;
    fine.scales = m->fine_scales, fine.minima = m->fine_minima;
    fine.rows = m->fine_count;
    fine.type = Q4;
    fine.steps = (m->cols + 31) / 32 * 4;
    nibble_product(c, &fine, q, c->room.fine);
    for (int i = 0; i < m->fine_count; i++)
        y[m->fine_rows[i]] += c->room.fine[i];
}

/* y [rows] = m x + bias; y has room for whole panels, and is zero past its end. */
static void product(const crystal *c, const matrix *m, const float *x, float *y)
{
    const int floats = m->type == F32 || m->type == S16 || m->type == S16R;
    digits q;
    if (!floats || m->fine_count)
        quantize(c, x, m->cols, &q);
    if (floats)
        float_product(m, x, y, DOT);
    else if (m->type == Q4)
        nibble_product(c, m, &q, y);
    else
        byte_product(m, x, &q, y);
    if (m->fine_count)
        add_fine(c, m, &q, y);
    for (int i = 0; m->bias && i < m->rows; i += WIDE)
        vstore(y + i, vadd(vload(y + i), vload(m->bias + i)));
    for (int i = m->rows; i & 63; i++)
        y[i] = 0.0f;
}
