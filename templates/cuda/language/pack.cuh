/* The runtime's matrices as tiles: done once, on the host, when a model is opened. */

/* Element (r, c) of a matrix of bytes or of numbers of 16 bits. */
static const uint8_t *element(const matrix &m, int r, int c)
{
    const size_t row = (size_t)r, column = (size_t)c, per = m.per, size = 4 / per;
    if (m.panels)
        return m.data + ((row / 64 * (size_t)m.steps + column / per) * 64 + row % 64) * 4 +
               column % per * size;
    const size_t at = m.turned ? column * (size_t)m.rows + row : row * (size_t)m.cols + column;
    return m.data + at * size;
}

/* Number of a row among those with four bits more, or -1. */
static int fine_of(const matrix &m, int r)
{
    const uint32_t *end = m.fine_rows + m.fine_count;
    const uint32_t *found = std::lower_bound(m.fine_rows, end, (uint32_t)r);
    return found != end && *found == (uint32_t)r ? (int)(found - m.fine_rows) : -1;
}

/* Where the group of 32 columns of fine row ``k`` that ``c`` is in begins, counted in groups. */
static size_t group_of(const matrix &m, int k, int c)
{
    const size_t row = (size_t)k, groups = (size_t)units(m.cols, 32), group = (size_t)c / 32;
    return m.panels ? (row / 64 * groups + group) * 64 + row % 64 : row * groups + group;
}

static uint8_t nibble_of(const matrix &m, int k, int c)
{
    const size_t row = (size_t)k, groups = (size_t)units(m.cols, 32);
    const size_t step = (size_t)c / 8, in_step = (size_t)c % 4;
    const size_t at = m.panels ? ((row / 64 * groups * 4 + step) * 64 + row % 64) * 4 + in_step
                               : (row * groups * 4 + step) * 4 + in_step;
    return c % 8 < 4 ? m.fine[at] & 15 : m.fine[at] >> 4;
}

/* A finite binary16. */
static float of_half(uint16_t half)
{
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const float size = exponent ? ldexpf((float)(fraction + 1024), exponent - 25)
                                : ldexpf((float)fraction, -24);
    return half >> 15 ? -size : size;
}

/* Row ``r`` of a matrix; of ``null`` it is zeros. ``index``: what the kernels know it by. */
struct Row {
    const matrix *m;
    int r, index;
};

static std::vector<Row> rows_of(const matrix &m)
{
    std::vector<Row> rows;
    for (int r = 0; r < m.rows; r++)
        rows.push_back({&m, r, r});
    return rows;
}

/* Query, key and value of a head stand together, and every head begins a tile. */
static std::vector<Row> rows_of_heads(const block &b)
{
    const matrix *parts[] = {&b.query, &b.key, &b.value};
    std::vector<Row> rows;
    for (int head = 0; head < HEADS; head++) {
        for (const matrix *m : parts)
            for (int r = 0; r < HEAD_SIZE; r++)
                rows.push_back({m, head * HEAD_SIZE + r, (int)rows.size()});
        while (rows.size() % (HEAD_TILES * 16))
            rows.push_back({nullptr, 0, (int)rows.size()});
    }
    return rows;
}

/* Everything that goes to the device, and where its parts begin. */
struct Image {
    std::vector<uint8_t> bytes;

    size_t take(size_t count)
    {
        const size_t at = bytes.size();
        bytes.resize(at + (count + UNIT - 1) / UNIT * UNIT);
        return at;
    }
    size_t put(const void *from, size_t count)
    {
        const size_t at = take(count);
        if (count)
            memcpy(bytes.data() + at, from, count);
        return at;
    }
};

/* Those with four bits more first, in each group. */
static uint32_t order_rows(std::vector<Row> &rows, size_t group)
{
    const auto fine = [](const Row &row) { return row.m && fine_of(*row.m, row.r) >= 0; };
    ptrdiff_t most = 0;
    for (size_t at = 0; at < rows.size(); at += group) {
        const auto begin = rows.begin() + (ptrdiff_t)at;
        const auto end = rows.begin() + (ptrdiff_t)std::min(at + group, rows.size());
        most = std::max(most, std::stable_partition(begin, end, fine) - begin);
    }
    return (uint32_t)units((int)most, 16);
}

static void put_parameters(float *to, const Row &row, const block *field, int r)
{
    const matrix &m = *row.m;
    to[16 * SCALE + r] = m.turned ? 1.0f : ((const float *)m.scales)[row.r];
    if (!field) {
        to[16 * BIAS + r] = m.bias ? m.bias[row.r] : 0.0f;
        return;
    }
    to[16 * NORM + r] = field->norms[row.r];
    to[16 * TEMPERATURE + r] = field->temperature[row.r];
    to[16 * RADIUS + r] = field->radius ? field->radius[row.r] : 0.0f;
    to[16 * VALUE_SCALE + r] = ((const float *)field->values.scales)[row.r];
}

static void put_weights(uint8_t *tile, const Row &row, int r, int columns)
{
    for (int k = 0; k < columns; k++)
        if (row.m->type == S8R)
            tile[byte_in_tile(r, k)] = *element(*row.m, row.r, k);
        else
            memcpy(tile + (k * 16 + r) * 2, element(*row.m, row.r, k), 2);
}

/* The nibbles of a row with four bits more, and behind those of its tile scales and minima. */
static void put_more(uint8_t *tile, const Row &row, int r, int columns)
{
    const matrix &m = *row.m;
    const int number = fine_of(m, row.r);
    float *groups = (float *)(tile + (size_t)units(columns, 32) * TILE_BYTES) + r;
    for (int k = 0; number >= 0 && k < columns; k++)
        tile[byte_in_tile(r, k)] = nibble_of(m, number, k);
    for (int k = 0; number >= 0 && k < columns; k += 32, groups += 32) {
        groups[0] = of_half(m.fine_scales[group_of(m, number, k)]);
        groups[16] = of_half(m.fine_minima[group_of(m, number, k)]);
    }
}

/* ``field`` is the block whose neurons the rows are, or null. ``group``: row tiles of a group, 0
   for all of them. */
static Matrix put_matrix(
    Image &image, std::vector<Row> rows, int columns, const block *field, int group = 0)
{
    const uint32_t each = field ? (uint32_t)NEURON_PARAMETERS : (uint32_t)ROW_PARAMETERS;
    Matrix m;
    m.count = (uint32_t)rows.size();
    m.rows = (uint32_t)units((int)rows.size(), 16);
    m.columns = (uint32_t)units(columns, 32);
    m.group = group ? (uint32_t)group : m.rows;
    m.fine = order_rows(rows, (size_t)m.group * 16);
    m.behind = m.columns * (rows[0].m->type == S8R ? TILE_BYTES : WIDE_BYTES);
    m.stride = m.behind / UNIT + each;
    m.more = m.rows * m.stride;
    const size_t nibbles = (size_t)(m.rows / m.group) * m.fine * m.more_stride();
    const size_t start = image.take(((size_t)m.more + nibbles) * UNIT);
    m.data = (uint32_t)(start / UNIT);
    for (int i = 0; i < (int)m.rows * 16; i++) {
        uint8_t *tile = image.bytes.data() + start + (size_t)i / 16 * m.stride * UNIT;
        float *parameters = (float *)(tile + m.behind);
        const Row row = i < (int)rows.size() ? rows[(size_t)i] : Row{nullptr, 0, i};
        if (FINE)
            memcpy(parameters + 16 * INDEX + i % 16, &row.index, sizeof row.index);
        if (!row.m)
            continue;
        put_weights(tile, row, i % 16, columns);
        put_parameters(parameters, row, field, i % 16);
        if (has_more(m, i / 16))
            put_more(image.bytes.data() + start + (size_t)(m.more + more_of(m, i / 16)) * UNIT, row,
                     i % 16, columns);
    }
    return m;
}

static void put_block(Image &image, const block &b, Matrix *m)
{
    if (CAUSAL) {
        m[QUERY_KEY_VALUE] = put_matrix(image, rows_of_heads(b), DIM, nullptr, HEAD_TILES);
        m[OUTPUT] = put_matrix(image, rows_of(b.output), DIM, nullptr);
    }
    m[FIELD] = put_matrix(image, rows_of(b.positions), DIM, &b);
    m[VALUES] = put_matrix(image, rows_of(b.values), b.values.cols, nullptr);
    if (FFN) {
        m[UP] = put_matrix(image, rows_of(b.up), DIM, nullptr);
        m[DOWN] = put_matrix(image, rows_of(b.down), FFN, nullptr);
    }
}

static void put_norm(std::vector<float> &to, const float *weight, const float *bias)
{
    const std::vector<float> none(DIM, 0.0f);
    to.insert(to.end(), weight ? weight : none.data(), (weight ? weight : none.data()) + DIM);
    to.insert(to.end(), bias ? bias : none.data(), (bias ? bias : none.data()) + DIM);
}

static std::vector<float> norms_of(const crystal &c)
{
    std::vector<float> vectors;
    for (int i = 0; i < BLOCKS; i++)
        for (int n = 0; n < 3; n++)
            put_norm(vectors, c.block[i].norm_weight[n], c.block[i].norm_bias[n]);
    put_norm(vectors, c.norm_weight, c.norm_bias);
    return vectors;
}

/* Rows of an embedding as the runtime reads them. */
static std::vector<float> rows_as_floats(const matrix &m)
{
    std::vector<float> rows((size_t)m.rows * DIM + 8); /* a row is written up to the next 8 */
    for (int r = 0; r < m.rows; r++)
        crystal_row(&m, r, rows.data() + (size_t)r * DIM);
    return rows;
}

/* Whether the kernels that were compiled take weights of this type. */
static bool readable(const matrix &m)
{
    const bool wide = WIDE && m.turned && m.type == S16R;
    return !m.data || wide || (m.type == S8R && (FINE || !m.fine_count));
}

/* Whether this is the model whose sizes are compiled in, with weights as the kernels take them. */
static bool fits(const crystal &c)
{
    const bool sizes = c.vocabulary == VOCABULARY && c.dim == DIM && c.context == CONTEXT &&
                       c.heads == HEADS && c.blocks == BLOCKS && c.ffn == FFN &&
                       c.causal == CAUSAL && c.l1 == L1 && c.kernel == KERNEL &&
                       c.activation == ACTIVATION && c.normalized == NORMALIZED;
    if (!sizes || c.epsilon != EPSILON || !readable(c.head))
        return false;
    for (int i = 0; i < BLOCKS; i++) {
        const block &b = c.block[i];
        for (const matrix *m : {&b.query, &b.key, &b.value, &b.output, &b.positions, &b.values,
                                &b.up, &b.down})
            if (!readable(*m))
                return false;
        if (b.positions.rows != NEURONS[i])
            return false;
    }
    return true;
}

/* Units of 64 bytes that a block's tiles take. */
static uint32_t tiles_kept(const Matrix *matrices, int rank, int blocks, bool everywhere)
{
    uint32_t used = 0;
    for (int i = 0; i < MATRICES; i++)
        used += units_of(matrices[i], share_of(i, matrices[i], rank, blocks, everywhere));
    return used;
}
