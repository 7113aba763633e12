/* From a checked file to a model that runs: pointers into the file, and one piece of memory. */

#include "file.h"

#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a .crystal file is used in place, which needs a little-endian machine"
#endif

/* ---- memory: laid out twice, the first time only to be measured ---- */

typedef struct {
    uint8_t *base;
    size_t used;
} arena;

static void *take(arena *a, size_t count, size_t size)
{
    void *p = a->base ? a->base + a->used : NULL;
    a->used += (count * size + 63) / 64 * 64;
    return p;
}

/* Whole panels of lanes. */
static float *lanes(arena *a, int32_t n)
{
    return take(a, ((size_t)n + 63) / 64 * 64, sizeof(float));
}

static int32_t most(int32_t a, int32_t b) { return a > b ? a : b; }

static void take_block(crystal *c, const file *f, arena *a, uint32_t number, int32_t *neurons)
{
    entry e;
    block *b = c->block ? c->block + number : NULL;
    const int32_t n = crystal_find(f, POSITIONS, number, 0, &e) ? (int32_t)e.dims[0] : 0;
    float *norms = lanes(a, n), *keys = NULL, *memory = NULL;
    *neurons = most(*neurons, n);
    if (c->causal) {
        keys = take(a, (size_t)c->dim * (size_t)c->stride, sizeof(float));
        memory = take(a, (size_t)c->context * (size_t)c->width, sizeof(float));
        take(a, 64, sizeof(float)); /* heads are read in whole vectors */
    }
    if (b)
        b->norms = norms, b->keys = keys, b->memory = memory;
}

static void lay_out(crystal *c, const file *f, arena *a)
{
    rooms *r = &c->room;
    float **of_dim[] = { &r->x, &r->h, &r->y, &r->query, &r->key, &r->value };
    int32_t neurons = 0;
    size_t slots = 2;
    const size_t entries = c->chars ? (size_t)c->tokens : (size_t)c->merges;
    c->block = take(a, (size_t)c->blocks, sizeof(block));
    for (uint32_t i = 0; i < f->blocks; i++)
        take_block(c, f, a, i, &neurons);
    for (size_t i = 0; i < sizeof of_dim / sizeof *of_dim; i++)
        *of_dim[i] = lanes(a, c->dim + 64);
    r->scores = lanes(a, c->context);
    r->neurons = lanes(a, neurons);
    r->hidden = lanes(a, c->ffn);
    r->logits = lanes(a, c->vocabulary);
    r->weights = lanes(a, c->vocabulary);
    r->high = take(a, (size_t)most(c->dim, most(neurons, c->ffn)) + 64, 1);
    r->low = take(a, (size_t)most(c->dim, most(neurons, c->ffn)) + 64, 1);
    r->sums = lanes(a, most(c->dim, c->ffn) / 32 + 1);
    r->fine = lanes(a, most(most(c->vocabulary, neurons), most(c->dim, c->ffn)));
    c->window = take(a, (size_t)c->context, sizeof(int32_t));
    c->order = take(a, (size_t)c->vocabulary, sizeof(int32_t));
    while (slots < 2 * entries)
        slots *= 2;
    c->hash = take(a, slots, sizeof(uint32_t));
    c->hash_mask = (uint32_t)slots - 1;
    c->makers = take(a, c->merges ? (size_t)c->tokens : 0, sizeof(uint32_t));
}

/* ---- pointers ---- */

static const void *bytes_of(const file *f, uint32_t kind, uint32_t block, uint32_t part)
{
    entry e;
    return crystal_find(f, kind, block, part, &e) ? f->bytes + e.offset : NULL;
}

static matrix matrix_of(const file *f, uint32_t kind, uint32_t block, uint32_t bias)
{
    matrix m = { 0 };
    entry e;
    if (!crystal_find(f, kind, block, 0, &e))
        return m;
    const int32_t turned = kind == VALUES;
    m.data = f->bytes + e.offset;
    m.scales = bytes_of(f, kind, block, 1);
    m.minima = bytes_of(f, kind, block, 2);
    m.bias = bias ? bytes_of(f, bias, block, 0) : NULL;
    memcpy(&m.scale, &e.scale, 4);
    memcpy(&m.zero, &e.zero, 4);
    m.rows = (int32_t)e.dims[turned];
    m.cols = (int32_t)e.dims[!turned];
    m.type = (uint8_t)e.dtype;
    m.per = m.type == F32 ? 1 : m.type == S16 || m.type == S16R ? 2 : m.type == Q4 ? 8 : 4;
    m.steps = m.type == Q4 ? (m.cols + 31) / 32 * 4 : (m.cols + m.per - 1) / m.per;
    if (m.type == S8R || m.type == S16R)
        m.scale = 1.0f; /* a turned one has had its scales put into x */
    m.panels = e.layout != 0;
    m.turned = (uint8_t)turned;
    if (!crystal_find(f, kind, block, FINE, &e))
        return m;
    m.fine = f->bytes + e.offset;
    m.fine_count = (int32_t)e.dims[0];
    m.fine_scales = bytes_of(f, kind, block, FINE_SCALES);
    m.fine_minima = bytes_of(f, kind, block, FINE_MINIMA);
    m.fine_rows = bytes_of(f, kind, block, FINE_ROWS);
    return m;
}

static void bind_block(const file *f, uint32_t i, block *b)
{
    static const uint8_t norms[] = { NORM1, NORM2, NORM3 };
    matrix *attention[] = { &b->query, &b->key, &b->value, &b->output };
    for (uint32_t p = 0; p < 4; p++)
        *attention[p] = matrix_of(f, QUERY + p, i, QUERY + 4 + p);
    for (int n = 0; n < 3; n++) {
        b->norm_weight[n] = bytes_of(f, norms[n], i, 0);
        b->norm_bias[n] = bytes_of(f, norms[n] + 1u, i, 0);
    }
    b->positions = matrix_of(f, POSITIONS, i, 0);
    b->values = matrix_of(f, VALUES, i, FIELD_BIAS);
    b->temperature = bytes_of(f, TEMPERATURE, i, 0);
    b->radius = bytes_of(f, RADIUS, i, 0);
    b->up = matrix_of(f, UP, i, UP_BIAS);
    b->down = matrix_of(f, DOWN, i, DOWN_BIAS);
}

static void bind(crystal *c, const file *f)
{
    const uint32_t none = f->blocks;
    c->embedding = matrix_of(f, TOKENS, none, 0);
    c->places = matrix_of(f, PLACES, none, 0);
    c->head = matrix_of(f, HEAD, none, HEAD_BIAS);
    c->norm_weight = bytes_of(f, NORM_WEIGHT, none, 0);
    c->norm_bias = bytes_of(f, NORM_BIAS, none, 0);
    c->token_offsets = bytes_of(f, TOKEN_OFFSETS, none, 0);
    c->token_bytes = bytes_of(f, TOKEN_BYTES, none, 0);
    c->merge_table = bytes_of(f, MERGES, none, 0);
    for (uint32_t i = 0; i < f->blocks; i++) {
        bind_block(f, i, c->block + i);
        crystal_squares(&c->block[i].positions, c->room.x, c->block[i].norms);
    }
}

static void take_sizes(crystal *c, const file *f)
{
    c->causal = f->kind == 1;
    c->vocabulary = (int32_t)f->vocabulary;
    c->dim = (int32_t)f->dim;
    c->context = (int32_t)f->context;
    c->heads = (int32_t)f->heads;
    c->blocks = (int32_t)f->blocks;
    c->ffn = (int32_t)f->ffn;
    c->tokens = (int32_t)f->tokens;
    c->merges = (int32_t)f->merges;
    c->chars = (int32_t)f->split;
    c->l1 = (int32_t)f->metric;
    c->kernel = (int32_t)f->kernel;
    c->activation = (int32_t)f->activation;
    c->normalized = (int32_t)(f->flags & 1);
    c->epsilon = f->epsilon;
    c->stride = (c->context + 31) / 32 * 32;
    c->width = (c->dim + 15) / 16 * 16;
}

/* ---- layers ---- */

static const layer *const layers[] = {
#if defined(CRYSTAL_X86)
    &crystal_layer_avx512,
    &crystal_layer_avx2,
#elif defined(CRYSTAL_ARM)
    &crystal_layer_neon,
#endif
    &crystal_layer_scalar,
};

int32_t crystal_use(crystal *c, const char *name)
{
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if ((!name || !strcmp(layers[i]->name, name)) && layers[i]->usable()) {
            c->layer = layers[i];
            return 1;
        }
    return 0;
}

const char *crystal_layer(const crystal *c) { return c->layer->name; }

/* ---- loading ---- */

static int32_t check(file *f)
{
    int32_t verdict = crystal_check_header(f);
    if (verdict)
        return verdict;
    f->found = calloc((size_t)(f->blocks + 1) * KINDS * PARTS, sizeof *f->found);
    if (!f->found)
        return CRYSTAL_NO_MEMORY;
    verdict = crystal_check_table(f);
    return verdict ? verdict : crystal_check_content(f);
}

static int32_t build(const file *f, crystal **model)
{
    crystal sizes = { 0 };
    arena measure = { NULL, 0 };
    take_sizes(&sizes, f);
    crystal_use(&sizes, NULL);
    lay_out(&sizes, f, &measure);
    crystal *c = malloc(sizeof *c);
    void *memory = calloc(measure.used + 64, 1);
    if (!c || !memory) {
        free(c);
        free(memory);
        return CRYSTAL_NO_MEMORY;
    }
    *c = sizes;
    c->arena = memory;
    arena a = { (uint8_t *)memory + (64 - (uintptr_t)memory % 64) % 64, 0 };
    lay_out(c, f, &a);
    lay_out(c, f, &(arena){ a.base, 0 }); /* now that the blocks have a place */
    bind(c, f);
    crystal_index_tokens(c);
    *model = c;
    return CRYSTAL_OK;
}

int32_t crystal_load(const void *bytes, size_t size, crystal **model)
{
    file f = { 0 };
    *model = NULL;
    f.bytes = bytes;
    f.size = size;
    int32_t verdict = check(&f);
    if (!verdict)
        verdict = build(&f, model);
    free(f.found);
    return verdict;
}

int32_t crystal_open(const char *path, crystal **model)
{
    const uint8_t *bytes;
    size_t size;
    *model = NULL;
    if (!crystal_map(path, &bytes, &size))
        return CRYSTAL_IO;
    const int32_t verdict = crystal_load(bytes, size, model);
    if (verdict) {
        crystal_unmap(bytes, size);
        return verdict;
    }
    (*model)->file = bytes;
    (*model)->file_bytes = size;
    return CRYSTAL_OK;
}

void crystal_free(crystal *c)
{
    if (!c)
        return;
    if (c->file)
        crystal_unmap(c->file, c->file_bytes);
    free(c->arena);
    free(c);
}

int32_t crystal_vocabulary(const crystal *c) { return c->vocabulary; }
int32_t crystal_context(const crystal *c) { return c->context; }

/* ---- evaluating ---- */

void crystal_reset(crystal *c) { c->filled = c->done = 0; }

/* A full context starts anew with its later half, at places 0 and up. */
void crystal_push(crystal *c, int32_t token)
{
    if (c->filled == c->context) {
        const int32_t keep = c->context / 2;
        memmove(c->window, c->window + c->filled - keep, (size_t)keep * sizeof *c->window);
        c->filled = keep;
        c->done = 0;
    }
    c->window[c->filled++] = token < 0 || token >= c->vocabulary ? 0 : token;
}

/* Tokens are evaluated when their logits are asked for: only the last one needs a head. */
const float *crystal_logits(crystal *c)
{
    if (!c->causal)
        c->done = c->filled - 1;
    for (; c->done < c->filled; c->done++) {
        const int32_t last = c->done + 1 == c->filled;
        c->layer->forward(c, c->window[c->done], c->done, last ? c->room.logits : NULL);
    }
    return c->room.logits;
}
