/* The runtime's matrices as tiles: done once, on the host, when a model is opened. */



static int8_t byte_of(const matrix &m, int r, int c)
{
    const size_t row = (size_t)r, column = (size_t)c, steps = (size_t)units(m.cols, 4);
    if (m.panels)
        return (int8_t)m.data[((row / 64 * steps + column / 4) * 64 + row % 64) * 4 + column % 4];
    const size_t at = m.turned ? column * (size_t)m.rows + row : row * (size_t)m.cols + column;
    return (int8_t)m.data[at];
}

/* Row ``r`` of a matrix; of ``null`` it is zeros. */
struct Row {
    const matrix *m;
    int r;
};

static std::vector<Row> rows_of(const matrix &m)
{
    std::vector<Row> rows;
    for (int r = 0; r < m.rows; r++)
        rows.push_back({&m, r});
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
                rows.push_back({m, head * HEAD_SIZE + r});
        rows.resize((size_t)(head + 1) * HEAD_TILES * 16, Row{nullptr, 0});
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

/* ``field`` is the block whose neurons the rows are, or null. */
static Matrix put_matrix(
    Image &image, const std::vector<Row> &rows, int columns, const block *field)
{
    const uint32_t each = field ? (uint32_t)NEURON_PARAMETERS : (uint32_t)ROW_PARAMETERS;
    Matrix m;
    m.count = (uint32_t)rows.size();
    m.rows = (uint32_t)units((int)rows.size(), 16);
    m.columns = (uint32_t)units(columns, 32);
    m.stride = m.columns * (TILE_BYTES / UNIT) + each;
    const size_t start = image.take((size_t)m.rows * m.stride * UNIT);
    m.data = (uint32_t)(start / UNIT);
    for (size_t i = 0; i < rows.size(); i++) {
        uint8_t *tile = image.bytes.data() + start + i / 16 * m.stride * UNIT;
        const int r = (int)(i % 16);
        if (!rows[i].m)
            continue;
        for (int k = 0; k < columns; k++)
            tile[byte_in_tile(r, k)] = (uint8_t)byte_of(*rows[i].m, rows[i].r, k);
        put_parameters((float *)(tile + (size_t)m.columns * TILE_BYTES), rows[i], field, r);
    }
    return m;
}

static void put_block(Image &image, const block &b, Matrix *m)
{
    if (CAUSAL) {
        m[QUERY_KEY_VALUE] = put_matrix(image, rows_of_heads(b), DIM, nullptr);
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

/* Whether this is the model whose sizes are compiled in, with weights as the kernels take them. */
static bool fits(const crystal &c)
{
    const bool sizes = c.vocabulary == VOCABULARY && c.dim == DIM && c.context == CONTEXT &&
                       c.heads == HEADS && c.blocks == BLOCKS && c.ffn == FFN &&
                       c.causal == CAUSAL && c.l1 == L1 && c.kernel == KERNEL &&
                       c.activation == ACTIVATION && c.normalized == NORMALIZED;
    if (!sizes || c.epsilon != EPSILON || c.head.type != S8R)
        return false;
    for (int i = 0; i < BLOCKS; i++)
        if (c.block[i].positions.rows != NEURONS[i])
            return false;
    return true;
}

/* Units of 64 bytes that a block's tiles take. */
static uint32_t tiles_kept(const Matrix *matrices, int rank, int blocks, bool everywhere)
{
    uint32_t used = 0;
    for (int i = 0; i < MATRICES; i++)
        used += matrices[i].stride *
                (uint32_t)share_of(i, matrices[i], rank, blocks, everywhere).count;
    return used;
}
