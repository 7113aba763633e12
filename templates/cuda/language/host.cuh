/* The host's side: opening a model, and the entry points. Only opening and closing wait for the
   device. */

namespace {

/* All that goes to the device; where the parts are, as offsets from null. */
Image image_of(const crystal &c, GPU(model) & g)
{
    Image image;
    memset(g.matrices, 0, sizeof g.matrices);
    for (int i = 0; i < BLOCKS; i++)
        put_block(image, c.block[i], g.matrices + i * PER_BLOCK);
    g.matrices[HEAD] = put_matrix(image, rows_of(c.head), DIM, nullptr);
    const std::vector<float> vectors = norms_of(c);
    const std::vector<float> tokens = rows_as_floats(c.embedding);
    const std::vector<float> places = rows_as_floats(c.places);
    const size_t parts[] = {
        image.put(g.matrices, sizeof g.matrices),
        image.put(vectors.data(), vectors.size() * sizeof(float)),
        image.put(tokens.data(), tokens.size() * sizeof(float)),
        image.put(places.data(), places.size() * sizeof(float)),
    };
    g.weights.bytes = image.bytes.size();
    g.weights.matrices = (const Matrix *)parts[0];
    g.weights.vectors = (const float *)parts[1];
    g.weights.tokens = (const float *)parts[2];
    g.weights.places = (const float *)parts[3];
    return image;
}

template <class T> void move(const T *&pointer, const uint8_t *base)
{
    pointer = (const T *)(base + (size_t)pointer);
}

int32_t upload(const Image &image, GPU(model) & g)
{
    uint8_t *base = nullptr;
    cudaError_t error = cudaMalloc(&base, image.bytes.size());
    if (error == cudaSuccess)
        error = cudaMemcpy(base, image.bytes.data(), image.bytes.size(), cudaMemcpyHostToDevice);
    g.weights.base = base;
    move(g.weights.matrices, base), move(g.weights.vectors, base);
    move(g.weights.tokens, base), move(g.weights.places, base);
    return code_of(error);
}

cudaError_t look_at_device(GPU(model) & g)
{
    cudaError_t error = cudaGetDevice(&g.device);
    const auto ask = [&](int *value, cudaDeviceAttr what) {
        if (error == cudaSuccess)
            error = cudaDeviceGetAttribute(value, what, g.device);
    };
    ask(&g.processors, cudaDevAttrMultiProcessorCount);
    ask(&g.shared, cudaDevAttrMaxSharedMemoryPerBlockOptin);
    ask(&g.major, cudaDevAttrComputeCapabilityMajor);
    return error;
}

int32_t open(const crystal &c, const GPU(plan) * plan, GPU(model) & g)
{
    if (!fits(c))
        return GPU_CODE(MODEL);
    const cudaError_t error = look_at_device(g);
    if (error != cudaSuccess)
        return code_of(error);
    const Image image = image_of(c, g);
    if (plan)
        g.plan = *plan;
    if (plan ? (plan->cluster && g.major < 9) || !works(g, g.plan) : !choose_plan(g))
        return GPU_CODE(SMALL);
    if (!plan)
        g.plan.together = most_together(g);
    else if (plan->together && (g.major < 9 || !works_together(g, plan->together)))
        return GPU_CODE(SMALL);
    return upload(image, g);
}

/* ---- room ---- */

constexpr size_t cache_bytes(size_t sequences)
{
    return CAUSAL ? sequences * BLOCKS * CACHE * sizeof(float) : 0;
}
constexpr size_t ONE_ROOM = (sizeof(OneRoom) + 255) / 256 * 256;
constexpr size_t SPARE = 3 * (size_t)VOCABULARY * sizeof(float);

} // namespace

extern "C" {

int32_t GPU(open)(const struct crystal *model, const GPU(plan) * plan, GPU(model) * *opened)
{
    *opened = nullptr;
    if (!model || (plan && !sound(*plan)))
        return GPU_CODE(ARGUMENT);
    try {
        std::unique_ptr<GPU(model)> g(new GPU(model)());
        const int32_t code = open(*model, plan, *g);
        if (code == GPU_CODE(OK))
            *opened = g.release();
        else
            cudaFree((void *)g->weights.base);
        return code;
    } catch (const std::bad_alloc &) {
        return GPU_CODE(MEMORY);
    }
}

void GPU(close)(GPU(model) * model)
{
    if (model)
        cudaFree((void *)model->weights.base);
    delete model;
}

GPU(plan) GPU(plan_of)(const GPU(model) * model) { return model->plan; }

size_t GPU(room)(int32_t sequences)
{
    const size_t many = cache_bytes(sequences > 0 ? (size_t)sequences : 0);
    return sequences > 0 ? many + 256 : ONE_ROOM + SPARE + cache_bytes(1);
}

int32_t GPU(generate)(const GPU(model) * model, void *room, int32_t *ids, int32_t given,
                      int32_t count, const GPU(draw) * how, float *logits, void *stream)
{
    if (!model || !room || !ids || given < 1 || count < 0 || given > INT32_MAX - count)
        return GPU_CODE(ARGUMENT);
    if (const int32_t code = elsewhere(*model))
        return code;
    const cudaStream_t queue = (cudaStream_t)stream;
    char *at = (char *)room;
    OneTask task;
    task.weights = model->weights;
    task.room = (OneRoom *)at;
    task.spare = (float *)(at + ONE_ROOM);
    task.cache = (float *)(at + ONE_ROOM + SPARE);
    task.logits = logits;
    task.ids = ids;
    task.given = given, task.count = count;
    task.everywhere = model->plan.everywhere, task.cached = model->plan.cached;
    task.how = Draw{0.0f, 1.0f, 0, 0};
    if (how)
        task.how = Draw{how->temperature, how->top_p, how->top_k, how->seed};
    const cudaError_t error = cudaMemsetAsync(&task.room->arrived, 0, sizeof(unsigned), queue);
    return code_of(error != cudaSuccess ? error : launch_one(model->plan, queue, task));
}

int32_t GPU(generate_batch)(const GPU(model) * model, void *room, int32_t sequences, int32_t *ids,
                            int32_t stride, const int32_t *given, int32_t count, void *stream)
{
    if (!model || !room || !ids || !given || sequences < 0 || stride < 1 || count < 0)
        return GPU_CODE(ARGUMENT);
    if (!sequences || !count)
        return GPU_CODE(OK);
    if (const int32_t code = elsewhere(*model))
        return code;
    const Batch b{model->weights, ids, given, nullptr, nullptr, nullptr, (float *)room,
                  sequences, stride, count, 1, 0};
    return run_many<false>(*model, b, (cudaStream_t)stream);
}

int32_t GPU(score)(const GPU(model) * model, void *room, int32_t sequences, const int32_t *ids,
                   const int32_t *targets, int32_t stride, int32_t count,
                   float *log_probabilities, float *logits, void *stream)
{
    if (!model || !room || !ids || !targets || !log_probabilities || sequences < 0 || count < 0 ||
        count > stride || count > CONTEXT)
        return GPU_CODE(ARGUMENT);
    if (!sequences || !count)
        return GPU_CODE(OK);
    if (const int32_t code = elsewhere(*model))
        return code;
    const Batch b{model->weights, (int32_t *)ids, nullptr, targets, log_probabilities, logits,
                  (float *)room, sequences, stride, count, 1, 0};
    return run_many<true>(*model, b, (cudaStream_t)stream);
}

const char *GPU(error)(int32_t code)
{
    switch (code) {
    case GPU_CODE(OK): return "no error";
    case GPU_CODE(MODEL): return "the model's sizes or weights are not those compiled in";
    case GPU_CODE(ARGUMENT): return "a pointer is null or a count is out of range";
    case GPU_CODE(SMALL): return "a block of this device has too little shared memory";
    case GPU_CODE(DEVICE): return "the current device is not the one that the model was opened on";
    case GPU_CODE(MEMORY): return "the host has no memory left";
    }
    return code > GPU_CODE(CUDA) ? cudaGetErrorString((cudaError_t)(code - GPU_CODE(CUDA)))
                                 : "not a code of this library";
}

} // extern "C"
