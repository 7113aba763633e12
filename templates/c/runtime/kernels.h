/* Matrix times vector, panel by panel: 64 rows are four vectors, and every row adds its products
   in the order of the columns, so all layers round alike. */

enum { CHUNK = 64, GROUP = 32 };
enum { DOT, L1, SQUARES }; /* what a row sums up: x w, |x - w|, w^2 */

/* Digits of x [n], zero up to the next multiple of 64. */
static digits quantize(const crystal *c, const float *x, int n)
{
    const vf shift = vset(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    digits q = { c->room.high, c->room.low, 0.0f, { 0 }, { 0 } };
    vf top = vset(0.0f);
    for (int i = 0; i < n; i += 16)
        top = vmax(vabs(vload(x + i)), top);
    const float most = vtop(top);
    const vf up = vset(most > 1.0e-30f ? 16256.0f / most : 0.0f);
    q.size = most / 16256.0f;
    for (int i = 0; i < n; i += 16)
        vdigits(q.high + i, q.low + i, vadd(vmul(vload(x + i), up), shift));
    memset(q.high + n, 0, (size_t)(-n & 63));
    memset(q.low + n, 0, (size_t)(-n & 63));
    for (int i = 0; OFFSET && i < n; i++) {
        q.sum_high[i / SPAN] += q.high[i];
        q.sum_low[i / SPAN] += q.low[i];
    }
    return q;
}

static float total(const float *x, int n)
{
    vf sum = vset(0.0f);
    for (int i = 0; i < n; i += 16)
        sum = vadd(sum, vload(x + i));
    return vsum(sum);
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

/* ---- one panel ---- */

INLINE vf meet(vf sum, vf w, vf x, int what)
{
    return vadd(sum, what == L1 ? vabs(vsub(x, w)) : vmul(what == DOT ? x : w, w));
}
INLINE void panel_f32(const uint8_t *w, const float *x, int n, int what, vf acc[4])
{
    const float *p = (const float *)(const void *)w;
    vf a = acc[0], b = acc[1], c = acc[2], d = acc[3];
    for (int k = 0; k < n; k++, p += 64) {
        const vf e = vset(x[k]);
        prefetch_step((const uint8_t *)p);
        a = meet(a, vload(p), e, what);
        b = meet(b, vload(p + 16), e, what);
        c = meet(c, vload(p + 32), e, what);
        d = meet(d, vload(p + 48), e, what);
    }
    acc[0] = a, acc[1] = b, acc[2] = c, acc[3] = d;
}

/* Integers of 8 * ``size`` bits as floats; ``scale`` [64] and ``zero`` make them weights, except
   for DOT, which does that to the sum. */
INLINE void panel_integers(const uint8_t *w, const float *x, int n, int size, int what,
                           const float *scale, vf zero, vf acc[4])
{
    const int per = 4 / size, down = 32 - 8 * size;
    for (int k = 0; k < n; k++) {
        const uint8_t *step = w + k / per * 256;
        const int up = 32 - 8 * size * (k % per + 1);
        const vf e = vset(x[k]);
        for (int i = 0; i < 4; i++) {
            const vf q = vsigned(step + 64 * i, up, down);
            const vf p = what == DOT ? q : vadd(vmul(q, vload(scale + 16 * i)), zero);
            acc[i] = meet(acc[i], p, e, what);
        }
    }
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
static void float_panel(walk *w, const float *x, int what, vf acc[4])
{
    const matrix *m = w->m;
    const int per = columns_per_step(m->type);
    const vf zero = vset(m->zero);
    float scales[64];
    int n;
    for (int i = 0; i < 64; i++)
        scales[i] = m->scale;
    if (m->type == S8R)
        gather_scales(m, w->panel, scales);
    for (int step = 0; step < w->steps; step += n) {
        const uint8_t *at = next_steps(w, step, w->steps, &n);
        const int left = m->cols - step * per, columns = n * per < left ? n * per : left;
        x += step ? CHUNK * per : 0;
        if (m->type == F32 && what == DOT)
            panel_f32(at, x, columns, DOT, acc);
        else if (m->type == F32)
            panel_f32(at, x, columns, what, acc);
        else if (what == DOT)
            panel_integers(at, x, columns, 2, DOT, scales, zero, acc);
        else
            panel_integers(at, x, columns, 4 / per, what, scales, zero, acc);
    }
}
static void float_product(const matrix *m, const float *x, float *y, int what)
{
    const int scaled = m->type == S16 && what == DOT;
    const float offset = scaled ? m->zero * total(x, m->cols) : 0.0f;
    walk w;
    w.m = m, w.steps = steps_of(m);
    for (w.panel = 0; w.panel * 64 < m->rows; w.panel++) {
        vf acc[4] = { vset(0.0f), vset(0.0f), vset(0.0f), vset(0.0f) };
        float_panel(&w, x, what, acc);
        for (int i = 0; i < 4; i++) {
            const vf sum = scaled ? vadd(vmul(acc[i], vset(m->scale)), vset(offset)) : acc[i];
            vstore(y + w.panel * 64 + 16 * i, sum);
        }
    }
}

/* y [rows] = squared lengths of the rows; ``x`` [columns] is only read. */
static void squares(const matrix *m, const float *x, float *y)
{
    float_product(m, x, y, SQUARES);
}

INLINE vf join(vi high, vi low) { return vadd(vmul(vfloat(high), vset(128.0f)), vfloat(low)); }

/* Sums of a panel over digits: exact integers for each span of columns. */
static void byte_panel(walk *w, const digits *x, vf sums[4])
{
    for (int start = 0; start < w->steps; start += SPAN / 4) {
        const int left = w->steps - start, end = start + (left < SPAN / 4 ? left : SPAN / 4);
        const vi a = vseti(-OFFSET * x->sum_high[start / (SPAN / 4)]);
        const vi b = vseti(-OFFSET * x->sum_low[start / (SPAN / 4)]);
        vi high[4] = { a, a, a, a }, low[4] = { b, b, b, b };
        int n;
        for (int step = start; step < end; step += n) {
            const uint8_t *at = next_steps(w, step, end, &n);
            panel_s8(at, x, step * 4, n, high, low);
        }
        for (int i = 0; i < 4; i++)
            sums[i] = vadd(sums[i], join(high[i], low[i]));
    }
}

/* ``turned`` matrices have had the scales of their columns put into x. */
static void byte_product(const crystal *c, const matrix *m, const float *x, float *y)
{
    const digits q = quantize(c, x, m->cols);
    const vf up = vset(q.size), offset = vset(m->type == S8 ? m->zero * total(x, m->cols) : 0.0f);
    float gathered[64];
    walk w;
    w.m = m, w.steps = steps_of(m);
    for (w.panel = 0; w.panel * 64 < m->rows; w.panel++) {
        const float *scales = (const float *)m->scales + w.panel * 64;
        vf sums[4] = { vset(0.0f), vset(0.0f), vset(0.0f), vset(0.0f) };
        byte_panel(&w, &q, sums);
        if (m->type == S8R && !m->turned && !m->panels)
            scales = gather_scales(m, w.panel, gathered);
        for (int i = 0; i < 4; i++) {
            vf scaled = vmul(sums[i], up);
            if (m->type == S8)
                scaled = vadd(vmul(scaled, vset(m->scale)), offset);
            else if (!m->turned)
                scaled = vmul(scaled, vload(scales + 16 * i));
            vstore(y + w.panel * 64 + 16 * i, scaled);
        }
    }
}

/* Nibbles are unsigned, so no offset; every group of 32 columns has a scale and a minimum. */
INLINE void add_group(
    vf acc[4], const vi high[4], const vi low[4], const uint16_t *scale, const uint16_t *least, vf x)
{
    for (int i = 0; i < 4; i++) {
        acc[i] = vadd(acc[i], vmul(join(high[i], low[i]), vload_f16(scale + 16 * i)));
        acc[i] = vadd(acc[i], vmul(x, vload_f16(least + 16 * i)));
    }
}
static void nibble_panel(walk *w, const digits *x, const float *sums, vf acc[4])
{
    const matrix *m = w->m;
    const int groups = w->steps / 4;
    uint16_t scale_room[64], least_room[64];
    for (int g = 0; g < groups; g++) {
        const vi none = vseti(0);
        vi high[4] = { none, none, none, none }, low[4] = { none, none, none, none };
        const size_t at = ((size_t)w->panel * (size_t)groups + (size_t)g) * 64;
        const uint16_t *scale = (const uint16_t *)m->scales + at, *least = m->minima + at;
        const uint8_t *data = m->data + at * 16;
        if (!m->panels) {
            scale = gather_halves(m, m->scales, w->panel, g, scale_room);
            least = gather_halves(m, m->minima, w->panel, g, least_room);
            data = gather(m, w->panel, g * 4, 4, w->room);
        }
        panel_q4(data, x, g * GROUP, high, low);
        add_group(acc, high, low, scale, least, vset(sums[g]));
    }
}
static void nibble_product(const crystal *c, const matrix *m, const float *x, float *y)
{
    const digits q = quantize(c, x, m->cols);
    walk w;
    w.m = m, w.steps = steps_of(m);
    for (int g = 0; g < w.steps / 4; g++) {
        int32_t sum = 0;
        for (int i = g * GROUP; i < g * GROUP + GROUP; i++)
            sum += 128 * q.high[i] + q.low[i];
        c->room.sums[g] = (float)sum;
    }
    for (w.panel = 0; w.panel * 64 < m->rows; w.panel++) {
        vf acc[4] = { vset(0.0f), vset(0.0f), vset(0.0f), vset(0.0f) };
        nibble_panel(&w, &q, c->room.sums, acc);
        for (int i = 0; i < 4; i++)
            vstore(y + w.panel * 64 + 16 * i, vmul(acc[i], vset(q.size)));
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
    for (int i = 0; m->bias && i < m->rows; i += 16)
        vstore(y + i, vadd(vload(y + i), vload(m->bias + i)));
    for (int i = m->rows; i & 63; i++)
        y[i] = 0.0f;
}
