/* Steps 4 to 6: is every section where it must be, expected, and of the right type and size? */

#include "file.h"

enum { IS_V = 1, IS_D, IS_C, IS_N, IS_F, IS_OFFSETS, IS_MERGES, IS_THREE, IS_ANY }; /* lengths */
enum { ALWAYS, CAUSAL, WITH_RADIUS, WITH_FFN, WITH_TOKENS, WITH_MERGES };
enum { MUST = 1, MATRIX = 2, IN_PANELS = 4, TURNED = 8 };

typedef struct {
    uint8_t kind, rows, columns, when, flags;
} rule;

static const rule rules[] = {
    { TOKENS, IS_V, IS_D, ALWAYS, MUST | MATRIX },
    { PLACES, IS_C, IS_D, ALWAYS, MUST | MATRIX },
    { NORM_WEIGHT, IS_D, 0, ALWAYS, MUST },
    { NORM_BIAS, IS_D, 0, ALWAYS, MUST },
    { HEAD, IS_V, IS_D, ALWAYS, MUST | MATRIX | IN_PANELS },
    { HEAD_BIAS, IS_V, 0, ALWAYS, 0 },
    { NORM1, IS_D, 0, CAUSAL, MUST },
    { NORM1 + 1, IS_D, 0, CAUSAL, MUST },
    { QUERY, IS_D, IS_D, CAUSAL, MUST | MATRIX | IN_PANELS },
    { QUERY + 1, IS_D, IS_D, CAUSAL, MUST | MATRIX | IN_PANELS },
    { QUERY + 2, IS_D, IS_D, CAUSAL, MUST | MATRIX | IN_PANELS },
    { QUERY + 3, IS_D, IS_D, CAUSAL, MUST | MATRIX | IN_PANELS },
    { QUERY + 4, IS_D, 0, CAUSAL, 0 },
    { QUERY + 5, IS_D, 0, CAUSAL, 0 },
    { QUERY + 6, IS_D, 0, CAUSAL, 0 },
    { QUERY + 7, IS_D, 0, CAUSAL, 0 },
    { NORM2, IS_D, 0, ALWAYS, MUST },
    { NORM2 + 1, IS_D, 0, ALWAYS, MUST },
    { POSITIONS, IS_N, IS_D, ALWAYS, MUST | MATRIX | IN_PANELS },
    { VALUES, IS_N, IS_D, ALWAYS, MUST | MATRIX | TURNED },
    { TEMPERATURE, IS_N, 0, ALWAYS, MUST },
    { RADIUS, IS_N, 0, WITH_RADIUS, MUST },
    { FIELD_BIAS, IS_D, 0, ALWAYS, 0 },
    { FROZEN, IS_N, 0, ALWAYS, MUST },
    { NORM3, IS_D, 0, WITH_FFN, MUST },
    { NORM3 + 1, IS_D, 0, WITH_FFN, MUST },
    { UP, IS_F, IS_D, WITH_FFN, MUST | MATRIX | IN_PANELS },
    { UP_BIAS, IS_F, 0, WITH_FFN, 0 },
    { DOWN, IS_D, IS_F, WITH_FFN, MUST | MATRIX | IN_PANELS },
    { DOWN_BIAS, IS_D, 0, WITH_FFN, 0 },
    { TOKEN_OFFSETS, IS_OFFSETS, 0, WITH_TOKENS, MUST },
    { TOKEN_BYTES, IS_ANY, 0, WITH_TOKENS, MUST },
    { MERGES, IS_MERGES, IS_THREE, WITH_MERGES, MUST },
    { METADATA, IS_ANY, 0, ALWAYS, 0 },
};
enum { RULES = sizeof rules / sizeof *rules };

static const rule *rule_of(uint32_t kind)
{
    for (int i = 0; i < RULES; i++)
        if (rules[i].kind == kind)
            return rules + i;
    return NULL;
}

static int32_t of_block(uint32_t kind) { return kind >= NORM1 && kind <= DOWN_BIAS; }

static uint16_t *slot(const file *f, uint32_t kind, uint32_t block, uint32_t part)
{
    const uint32_t row = of_block(kind) ? kind - NORM1 : kind % 64 + (kind >= 64 ? 8 : 0);
    return f->found + ((size_t)block * KINDS + row) * PARTS + part;
}

int32_t crystal_find(const file *f, uint32_t kind, uint32_t block, uint32_t part, entry *found)
{
    const uint32_t number = *slot(f, kind, block, part);
    if (number)
        *found = crystal_entry(f, number - 1);
    return number != 0;
}

static int32_t model_has(const file *f, const rule *r)
{
    switch (r->when) {
    case CAUSAL: return f->kind == 1;
    case WITH_RADIUS: return f->kernel == RADIAL;
    case WITH_FFN: return f->ffn > 0;
    case WITH_TOKENS: return f->tokens > 0;
    case WITH_MERGES: return f->merges > 0;
    default: return 1;
    }
}

/* Type of a tensor's values; where it is S8R, S16R will do too, and S16 for that. */
static uint32_t dtype_of(const file *f, const rule *r)
{
    const uint32_t mode = f->weights;
    if (r->kind >= TOKEN_OFFSETS)
        return r->kind == TOKEN_BYTES || r->kind == METADATA ? U8 : U32;
    if (r->kind == FROZEN)
        return BITS;
    if (!(r->flags & MATRIX) || mode == MODE_F32)
        return F32;
    if (mode == MODE_Q8 || mode == MODE_Q8Q4)
        return r->kind == HEAD && mode == MODE_Q8Q4 ? Q4 : S8R;
    if (mode >= MODE_MIXED && (r->kind == TOKENS || r->kind == PLACES))
        return F32;
    return mode == MODE_INT16 || mode == MODE_MIXED ? S16R : S8;
}

/* Type of a part, or -1 where the tensor has no such part. */
static int32_t part_type(const rule *r, uint32_t dtype, uint32_t part)
{
    static const uint8_t fine[] = { Q4, F16, F16, U32 };
    if (part == 0)
        return (int32_t)dtype;
    if ((dtype == S8R || dtype == S16R) && part == 1)
        return F32;
    if ((dtype == S8R || dtype == S16R) && part >= FINE && part < PARTS && !(r->flags & TURNED))
        return fine[part - FINE];
    return dtype == Q4 && part <= 2 ? F16 : -1;
}

/* ---- step 4 ---- */

static int32_t sane(uint32_t bits) { return (bits & 0x7fffffffu) <= LARGEST_BITS; }

static int32_t check_known(const file *f, const entry *e, const rule *r, uint32_t number)
{
    const uint32_t none = 0xffffffffu, dtype = dtype_of(f, r);
    const int32_t here = of_block(e->kind) ? e->block < f->blocks : e->block == none;
    const int32_t type = part_type(r, dtype, e->part);
    const int32_t unread = f->metric && e->kind == POSITIONS && e->part >= FINE;
    if (!here || !model_has(f, r) || type < 0 || unread)
        return CRYSTAL_UNEXPECTED;
    if ((int32_t)e->dtype != type && !(type == S16R && e->dtype == S16)
        && !(type == S8R && e->dtype == S16R))
        return CRYSTAL_DTYPE;
    if (e->layout && !(e->layout == 1 && r->flags & IN_PANELS)
        && !(e->layout == 2 && r->flags & TURNED))
        return CRYSTAL_LAYOUT;
    uint16_t *seen = slot(f, e->kind, of_block(e->kind) ? e->block : f->blocks, e->part);
    if (*seen)
        return CRYSTAL_TWICE;
    *seen = (uint16_t)(number + 1);
    if (e->dtype == S16 || e->dtype == S8)
        return sane(e->scale) && sane(e->zero) ? CRYSTAL_OK : CRYSTAL_NUMBER;
    return e->scale || e->zero ? CRYSTAL_RESERVED : CRYSTAL_OK;
}

static int32_t check_entry(const file *f, uint32_t number, uint64_t *place)
{
    const entry e = crystal_entry(f, number);
    const rule *r = rule_of(e.kind);
    for (int i = 0; i < 8; i++)
        if (e.reserved[i])
            return CRYSTAL_RESERVED;
    if (e.flags > 1)
        return CRYSTAL_RESERVED;
    if (e.offset != *place || e.offset > f->size || e.bytes > f->size - e.offset)
        return CRYSTAL_PLACE;
    *place = (e.offset + e.bytes + 63) & ~(uint64_t)63;
    if (!r)
        return e.flags ? CRYSTAL_UNKNOWN : CRYSTAL_OK;
    return check_known(f, &e, r, number);
}

/* ---- step 5 ---- */

static int32_t is_whole(const file *f, const rule *r, uint32_t block)
{
    entry values;
    uint32_t fine = 0;
    if (!crystal_find(f, r->kind, block, 0, &values))
        return 0;
    for (uint32_t part = FINE; part < PARTS; part++)
        fine |= *slot(f, r->kind, block, part);
    for (uint32_t part = 1; part < PARTS; part++)
        if (part_type(r, values.dtype, part) >= 0 && (part < FINE || fine)
            && !*slot(f, r->kind, block, part))
            return 0;
    return 1;
}

static int32_t check_required(const file *f)
{
    for (int i = 0; i < RULES; i++) {
        const rule *r = rules + i;
        if (!(r->flags & MUST) || !model_has(f, r))
            continue;
        const uint32_t first = of_block(r->kind) ? 0 : f->blocks;
        const uint32_t end = of_block(r->kind) ? f->blocks : f->blocks + 1;
        for (uint32_t b = first; b < end; b++)
            if (!is_whole(f, r, b))
                return CRYSTAL_MISSING;
    }
    return CRYSTAL_OK;
}

/* ---- step 6 ---- */

static uint32_t length_of(const file *f, uint32_t what, uint32_t neurons)
{
    switch (what) {
    case IS_V: return f->vocabulary;
    case IS_D: return f->dim;
    case IS_C: return f->context;
    case IS_N: return neurons;
    case IS_F: return f->ffn;
    case IS_OFFSETS: return f->tokens + 1;
    case IS_MERGES: return f->merges;
    case IS_THREE: return 3;
    default: return 0;
    }
}

static uint64_t up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

/* Limits keep every product below 2^2 * 2^20 * 2^20. */
static uint64_t bytes_of(const entry *e)
{
    static const uint8_t sizes[] = { 4, 2, 1, 1, 0, 4, 1, 0, 2, 2 };
    const int32_t turned = e->layout == 2 && e->rank == 2;
    const uint64_t rows = e->dims[turned ? 1 : 0];
    const uint64_t columns = e->rank == 2 ? e->dims[turned ? 0 : 1] : 1;
    const uint64_t lanes = e->layout ? up(rows, 64) : rows, size = sizes[e->dtype];
    if (e->dtype == BITS)
        return (rows + 7) / 8;
    if (e->dtype == Q4)
        return lanes * up(columns, 32) / 2;
    if (!e->layout || e->rank == 1 || e->dtype == F16)
        return lanes * columns * size;
    return lanes * up(columns, 4 / size) * size;
}

static uint32_t neurons_of(const file *f, uint32_t block)
{
    entry e;
    return crystal_find(f, POSITIONS, block, 0, &e) ? e.dims[0] : 0;
}

static int32_t check_shape(const file *f, const entry *e, const rule *r)
{
    const uint32_t block = of_block(e->kind) ? e->block : f->blocks;
    const uint32_t most = e->kind == TOKEN_BYTES ? 1u << 30 : 1u << 16;
    entry values, fine;
    if (!crystal_find(f, e->kind, block, 0, &values)
        || part_type(r, values.dtype, e->part) < 0)
        return CRYSTAL_UNEXPECTED;
    if (values.layout != e->layout)
        return CRYSTAL_LAYOUT;
    if (r->rows == IS_ANY && (e->dims[0] < 1 || e->dims[0] > most))
        return CRYSTAL_LIMIT;
    const uint32_t neurons = r->rows == IS_N ? neurons_of(f, block) : 0;
    uint32_t rows = length_of(f, r->rows, neurons), columns = length_of(f, r->columns, 0);
    if (r->rows == IS_ANY)
        rows = e->dims[0];
    if (e->part == FINE && (e->dims[0] < 1 || e->dims[0] > rows))
        return CRYSTAL_LIMIT;
    if (e->part >= FINE && crystal_find(f, e->kind, block, FINE, &fine))
        rows = fine.dims[0];
    if (e->part && e->part != FINE)
        columns = e->dtype == F16 ? (columns + 31) / 32 : 0;
    if (e->rank != (columns ? 2u : 1u) || e->dims[0] != rows || e->dims[1] != columns
        || e->dims[2] || e->dims[3])
        return CRYSTAL_SHAPE;
    return e->bytes == bytes_of(e) ? CRYSTAL_OK : CRYSTAL_BYTES;
}

static int32_t check_neurons(const file *f)
{
    for (uint32_t i = 0; i < f->sections; i++) {
        const entry e = crystal_entry(f, i);
        if (e.kind == POSITIONS && !e.part && (e.dims[0] < 1 || e.dims[0] > MAX_NEURONS))
            return CRYSTAL_LIMIT;
    }
    return CRYSTAL_OK;
}

int32_t crystal_check_table(file *f)
{
    uint64_t place = HEADER_BYTES + (uint64_t)f->sections * ENTRY_BYTES;
    int32_t verdict = CRYSTAL_OK;
    for (uint32_t i = 0; i < f->sections && !verdict; i++)
        verdict = check_entry(f, i, &place);
    if (!verdict && place != f->size)
        verdict = CRYSTAL_END;
    if (!verdict)
        verdict = check_required(f);
    if (!verdict)
        verdict = check_neurons(f);
    for (uint32_t i = 0; i < f->sections && !verdict; i++) {
        const entry e = crystal_entry(f, i);
        const rule *r = rule_of(e.kind);
        if (r)
            verdict = check_shape(f, &e, r);
    }
    return verdict;
}
