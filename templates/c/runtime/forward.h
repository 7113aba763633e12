/* One token through the model, in the lanes of the layer that includes this file. */

/* e^x for x from -87 to 88, beyond that the value at the nearer end. */
INLINE vf vexp(vf x)
{
    const vf shift = vset(12582912.0f);
    const vf a = vmin(vmax(x, vset(-87.0f)), vset(88.0f));
    const vf shifted = vadd(vmul(a, vset(1.44269504f)), shift);
    const vf n = vsub(shifted, shift);
    const vf rough = vsub(a, vmul(n, vset(0.693359375f)));
    const vf r = vadd(rough, vmul(n, vset(2.12194440e-4f)));
    vf p = vset(1.3814315e-3f);
    p = vadd(vmul(p, r), vset(8.368852e-3f));
    p = vadd(vmul(p, r), vset(4.166840e-2f));
    p = vadd(vmul(p, r), vset(0.16666520f));
    p = vadd(vmul(p, r), vset(0.49999994f));
    p = vadd(vadd(vmul(vmul(p, r), r), r), vset(1.0f));
    return vmul(p, vpower(shifted));
}

/* The tanh form: x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)). */
INLINE vf vgelu(vf x)
{
    const vf cubic = vadd(vmul(vmul(vset(0.044715f), vmul(x, x)), x), x);
    return vdiv(x, vadd(vexp(vmul(vset(-1.5957691f), cubic)), vset(1.0f)));
}

INLINE vf vend(vf a, int left) { return left < WIDE ? vfirst(a, left) : a; }

/* In place; zero past the end. */
static void gelu(float *x, int n)
{
    for (int i = 0; i < n; i += WIDE)
        vstore(x + i, vend(vgelu(vload(x + i)), n - i));
}

static void norm(const crystal *c, const float *x, const float *w, const float *b, float *y)
{
    const int n = c->dim;
    const float mean = total(x, n) / (float)n;
    const vf spread = vsqrt(vset(total_squares(x, mean, n) / (float)n + c->epsilon));
    for (int i = 0; i < n; i += WIDE) {
        const vf unit = vdiv(vsub(vload(x + i), vset(mean)), spread);
        vstore(y + i, vend(vadd(vmul(unit, vload(w + i)), vload(b + i)), n - i));
    }
}

static float largest(const float *x, int32_t n)
{
    vf a = vset(x[0]), b = a, c = a, d = a;
    int i = 0;
    for (; i + 4 * WIDE <= n; i += 4 * WIDE) {
        a = vmax(vload(x + i), a), b = vmax(vload(x + i + WIDE), b);
        c = vmax(vload(x + i + 2 * WIDE), c), d = vmax(vload(x + i + 3 * WIDE), d);
    }
    float top = vtop(vmax(vmax(a, b), vmax(c, d)));
    for (; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

/* weights [n] = e^((logits - top) / temperature), and their sum. */
static float weights(const float *logits, int32_t n, float top, float temperature, float *to)
{
    for (int i = 0; i < n; i += WIDE) {
        const vf z = vdiv(vsub(vload(logits + i), vset(top)), vset(temperature));
        vstore(to + i, vend(vexp(z), n - i));
    }
    return total(to, n);
}

/* In place; zero past the end. */
static void softmax(float *x, int n)
{
    const vf sum = vset(weights(x, n, largest(x, n), 1.0f, x));
    for (int i = 0; i < n; i += WIDE)
        vstore(x + i, vdiv(vload(x + i), sum));
}

static void add(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i += WIDE)
        vstore(x + i, vadd(vload(x + i), vload(y + i)));
}

/* ---- attention ---- */

/* What ``weight`` adds to two vectors at ``at``. */
#define ADD_TWO(a, b, at, weight) \
    a = vadd(a, vmul(vload(at), weight)), b = vadd(b, vmul(vload((at) + WIDE), weight))

/* scores [n] of one head: lanes are places; even columns apart from odd ones, which is faster. */
static void head_scores(const crystal *c, const float *keys, const float *query, int size, int n)
{
    const vf scale = vdiv(vset(1.0f), vsqrt(vset((float)size)));
    const size_t stride = (size_t)c->stride;
    for (int j = 0; j < n; j += 2 * WIDE) {
        vf a = vset(0.0f), b = a, odd_a = a, odd_b = a;
        const float *at = keys + j;
        for (int d = 0; d < size; d += 2, at += 2 * stride) {
            ADD_TWO(a, b, at, vset(query[d]));
            if (d + 1 < size)
                ADD_TWO(odd_a, odd_b, at + stride, vset(query[d + 1]));
        }
        vstore(c->room.scores + j, vmul(vadd(a, odd_a), scale));
        vstore(c->room.scores + j + WIDE, vmul(vadd(b, odd_b), scale));
    }
}

/* y [size] = sum over n places of weight times value: lanes are columns, some beyond the head. */
static void head_mix(const crystal *c, const float *values, float *y, int size, int n)
{
    const float *weight = c->room.scores;
    for (int d = 0; d < size; d += 2 * WIDE) {
        vf a = vset(0.0f), b = a, odd_a = a, odd_b = a;
        const float *at = values + d;
        for (int j = 0; j < n; j += 2, at += 2 * c->width) {
            ADD_TWO(a, b, at, vset(weight[j]));
            if (j + 1 < n)
                ADD_TWO(odd_a, odd_b, at + c->width, vset(weight[j + 1]));
        }
        vstore(y + d, vadd(a, odd_a));
        vstore(y + d + WIDE, vadd(b, odd_b));
    }
}

static void attend(const crystal *c, const block *b, int place)
{
    const int size = c->dim / c->heads;
    const rooms *r = &c->room;
    for (int first = 0; first < c->dim; first += size) {
        const float *keys = b->keys + (size_t)first * (size_t)c->stride;
        head_scores(c, keys, r->query + first, size, place + 1);
        softmax(r->scores, place + 1);
        head_mix(c, b->memory + first, r->y + first, size, place + 1);
    }
    for (int i = c->dim; i & 63; i++)
        r->y[i] = 0.0f;
}

/* Keys and values of this place; then, unless ``last`` is false, what it takes from the others. */
static void attention(const crystal *c, const block *b, int place, int last)
{
    const rooms *r = &c->room;
    norm(c, r->x, b->norm_weight[0], b->norm_bias[0], r->h);
    product(c, &b->key, r->h, r->key);
    product(c, &b->value, r->h, r->value);
    for (int d = 0; d < c->dim; d++)
        b->keys[(size_t)d * (size_t)c->stride + (size_t)place] = r->key[d];
    memcpy(b->memory + (size_t)place * (size_t)c->width, r->value, (size_t)c->dim * sizeof(float));
    if (!last)
        return;
    product(c, &b->query, r->h, r->query);
    attend(c, b, place);
    product(c, &b->output, r->y, r->h);
    add(r->x, r->h, c->dim);
}

/* ---- field ---- */

/* Distances [neurons] -> scores of the kernel, in place. */
static void field_scores(const crystal *c, const block *b, vf own, float *x, int n)
{
    for (int i = 0; i < n; i += WIDE) {
        const vf t = vload(b->temperature + i), found = vload(x + i);
        vf z, d2;
        if (c->l1)
            d2 = vmul(found, found);
        else
            d2 = vmax(vadd(vsub(own, vmul(vset(2.0f), found)), vload(b->norms + i)), vset(0.0f));
        if (c->kernel == RADIAL)
            z = vdiv(vsub(vload(b->radius + i), d2), t);
        else if (c->kernel == GAUSS)
            z = vdiv(vsub(vset(0.0f), d2), vmul(t, t));
        else
            z = vdiv(vsub(vset(0.0f), c->l1 ? found : vsqrt(d2)), vadd(vabs(t), vset(0.1f)));
        vstore(x + i, z);
    }
}
static void field_weights(const crystal *c, float *x, int n)
{
    if (c->normalized)
        softmax(x, n);
    else if (c->kernel != RADIAL)
        weights(x, n, 0.0f, 1.0f, x);
    else if (c->activation == GELU)
        gelu(x, n);
    else
        for (int i = 0; i < n; i += WIDE)
            vstore(x + i, vend(vmax(vload(x + i), vset(0.0f)), n - i));
}
static void field(const crystal *c, const block *b)
{
    const rooms *r = &c->room;
    const int n = b->positions.rows;
    norm(c, r->x, b->norm_weight[1], b->norm_bias[1], r->h);
    if (c->l1)
        float_product(&b->positions, r->h, r->neurons, L1);
    else
        product(c, &b->positions, r->h, r->neurons);
    field_scores(c, b, vset(total_squares(r->h, 0.0f, c->dim)), r->neurons, n);
    field_weights(c, r->neurons, n);
    for (int i = 0; b->values.scales && i < n; i += WIDE) {
        const vf scale = vload((const float *)b->values.scales + i);
        vstore(r->neurons + i, vmul(vload(r->neurons + i), scale));
    }
    product(c, &b->values, r->neurons, r->y);
    add(r->x, r->y, c->dim);
}

static void feed_forward(const crystal *c, const block *b)
{
    const rooms *r = &c->room;
    norm(c, r->x, b->norm_weight[2], b->norm_bias[2], r->h);
    product(c, &b->up, r->h, r->hidden);
    gelu(r->hidden, c->ffn);
    product(c, &b->down, r->hidden, r->y);
    add(r->x, r->y, c->dim);
}

/* ---- the model ---- */

/* Evaluates ``token`` at ``place``, all earlier places being done. ``logits`` NULL: only what
   later places need of it. */
static void forward(const crystal *c, int32_t token, int32_t place, float *logits)
{
    const rooms *r = &c->room;
    crystal_row(&c->embedding, token, r->x);
    crystal_row(&c->places, place, r->h);
    add(r->x, r->h, c->dim);
    for (int i = 0; i < c->blocks; i++) {
        const block *b = c->block + i;
        const int last = logits || i + 1 < c->blocks;
        if (c->causal)
            attention(c, b, place, last);
        if (!last)
            return;
        field(c, b);
        if (c->ffn)
            feed_forward(c, b);
    }
    norm(c, r->x, c->norm_weight, c->norm_bias, r->h);
    matrix head = c->head;
    head.back = head.type == Q4 && place & 1; /* its last panels are still in the nearer cache */
    product(c, &head, r->h, logits);
}
