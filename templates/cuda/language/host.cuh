/* The host's side: opening a model, and launches. Only opening and closing wait for the device. */

struct GPU(model) {
    Weights weights;
    Matrix matrices[MATRICES]; /* the host's copy */
    GPU(plan) plan;
    int device, processors, shared, major;
};

namespace {

int32_t code_of(cudaError_t error)
{
    return crystal_told(error) == cudaSuccess ? GPU_CODE(OK) : GPU_CODE(CUDA) + (int32_t)error;
}

/* ---- one sequence: how many blocks, and who keeps what ---- */

auto kernel_of(const GPU(plan) & p)
{
    return p.cluster ? one<true, true> : p.resident ? one<false, true> : one<false, false>;
}

/* Shared memory of a block. */
size_t one_bytes(const GPU(model) & g, const GPU(plan) & p)
{
    uint32_t most = 0;
    for (int rank = 0; p.resident && rank < p.blocks; rank++) {
        const uint32_t used = tiles_kept(g.matrices, rank, p.blocks, p.everywhere);
        most = used > most ? used : most;
    }
    return RESIDENCE + (p.resident ? (size_t)most * UNIT + VECTORS * sizeof(float) : 0);
}

cudaError_t launch_one(const GPU(plan) & p, cudaStream_t stream, const OneTask &task)
{
    const auto kernel = kernel_of(p);
#ifndef CRYSTAL_CPU_SHIM
    if (p.cluster) {
        cudaLaunchAttribute cluster;
        const cudaLaunchConfig_t how =
            cluster_of(p.blocks, p.blocks, ONE_THREADS, p.shared, stream, &cluster);
        return cudaLaunchKernelEx(&how, kernel, task);
    }
#endif
    return CRYSTAL_LAUNCH_TOGETHER(kernel, p.blocks, ONE_THREADS, p.shared, stream, task);
}

/* Lets a kernel have all the shared memory that there is. */
template <class Kernel> bool widened(const GPU(model) & g, Kernel kernel)
{
    const auto most = cudaFuncAttributeMaxDynamicSharedMemorySize;
    return crystal_told(cudaFuncSetAttribute(kernel, most, g.shared)) == cudaSuccess;
}

/* Whether the device can hold this plan for one sequence. */
bool works(const GPU(model) & g, GPU(plan) & p)
{
    const auto kernel = kernel_of(p);
    int found = 0;
    p.shared = one_bytes(g, p);
    if (p.shared > (size_t)g.shared || (!p.cluster && p.blocks > g.processors))
        return false;
    if (!widened(g, kernel))
        return false;
#ifndef CRYSTAL_CPU_SHIM
    if (p.cluster)
        return holds_cluster(kernel, p.blocks, ONE_THREADS, p.shared);
#endif
    return crystal_told(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
               &found, kernel, ONE_THREADS, p.shared)) == cudaSuccess &&
           found > 0;
}

/* A cluster where there are such and it holds the weights; else the fewest blocks that do; else
   blocks that read them from L2. */
bool choose_plan(GPU(model) & g)
{
    const int last = g.processors < MOST_BLOCKS ? g.processors : MOST_BLOCKS;
    GPU(plan) &p = g.plan;
    p.cluster = p.resident = 1;
    for (p.everywhere = 1; g.major >= 9 && p.everywhere >= 0; p.everywhere--)
        for (p.blocks = MOST_CLUSTER; p.blocks >= 8; p.blocks /= 2)
            if (works(g, p))
                return true;
    p.cluster = 0;
    for (p.everywhere = 1; p.everywhere >= 0; p.everywhere--)
        for (p.blocks = last < 16 ? last : 16; p.blocks <= last; p.blocks += 4)
            if (works(g, p))
                return true;
    p.resident = p.everywhere = 0;
    p.blocks = last;
    return works(g, p);
}

bool sound(const GPU(plan) & p)
{
    return p.blocks >= 1 && p.blocks <= (p.cluster ? MOST_CLUSTER : MOST_BLOCKS) &&
           (p.resident || !p.cluster) && p.together >= 0 && p.together <= MOST_CLUSTER;
}

/* ---- many sequences ---- */

constexpr int FEW = 8, MORE = 16; /* sequences of a block of threads */

/* Shared memory of a block among so many that share the head. */
size_t together_bytes(const GPU(model) & g, int blocks)
{
    uint32_t most = 0;
    for (int rank = 0; rank < blocks; rank++)
        most = std::max(most, units_of(g.matrices[HEAD], share_of(HEAD, g.matrices[HEAD], rank,
                                                                  blocks, false)));
    return HEAD_SHARE<FEW> + (size_t)most * UNIT;
}

/* Whether the device can have so many blocks share the head. */
template <bool SCORE> bool works_together(const GPU(model) & g, int blocks)
{
    const size_t shared = together_bytes(g, blocks);
    const auto kernel = many<FEW, SCORE, true>;
    if (shared > (size_t)g.shared || !widened(g, kernel))
        return false;
#ifdef CRYSTAL_CPU_SHIM
    return true;
#else
    return holds_cluster(kernel, blocks, BATCH_THREADS, shared);
#endif
}

bool works_together(const GPU(model) & g, int blocks)
{
    return works_together<false>(g, blocks) && works_together<true>(g, blocks);
}

/* The most blocks: as little of the head as can be comes from L2 again. */
int most_together(const GPU(model) & g)
{
    for (int blocks = MOST_CLUSTER; g.major >= 9 && blocks >= 4; blocks /= 2)
        if (works_together(g, blocks))
            return blocks;
    return 0;
}

template <int N, bool SCORE> cudaError_t launch_many(const Batch &b, cudaStream_t stream)
{
    const auto kernel = many<N, SCORE, false>;
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)sizeof(Shared<N>));
    if (error != cudaSuccess)
        return error;
    const int blocks = (b.sequences - 1) / N + 1;
    return CRYSTAL_LAUNCH(kernel, blocks, BATCH_THREADS, sizeof(Shared<N>), stream, b);
}

/* Clusters of blocks that share the head; the shim has one cluster to a launch. */
template <bool SCORE>
cudaError_t launch_together(const GPU(model) & g, Batch b, cudaStream_t stream)
{
    const auto kernel = many<FEW, SCORE, true>;
    const size_t shared = together_bytes(g, g.plan.together);
    b.blocks = g.plan.together;
#ifdef CRYSTAL_CPU_SHIM
    cudaError_t error = cudaSuccess;
    for (; error == cudaSuccess && b.first < b.sequences; b.first += FEW * b.blocks)
        error = CRYSTAL_LAUNCH_TOGETHER(kernel, b.blocks, BATCH_THREADS, shared, stream, b);
    return error;
#else
    cudaLaunchAttribute cluster;
    const int clusters = (b.sequences - 1) / (FEW * b.blocks) + 1;
    const cudaLaunchConfig_t how =
        cluster_of(b.blocks, clusters * b.blocks, BATCH_THREADS, shared, stream, &cluster);
    return cudaLaunchKernelEx(&how, kernel, b);
#endif
}

/* As few sequences to a block as keep all processors busy. */
template <bool SCORE>
int32_t run_many(const GPU(model) & g, const Batch &b, cudaStream_t stream)
{
    const size_t shared = (size_t)g.shared;
    if (g.plan.together)
        return code_of(launch_together<SCORE>(g, b, stream));
    if (b.sequences > FEW * g.processors && sizeof(Shared<MORE>) <= shared)
        return code_of(launch_many<MORE, SCORE>(b, stream));
    if (sizeof(Shared<FEW>) <= shared)
        return code_of(launch_many<FEW, SCORE>(b, stream));
    return GPU_CODE(SMALL);
}

/* Weights are on one device, and so must be the launch. */
int32_t elsewhere(const GPU(model) & g)
{
    int device;
    const cudaError_t error = cudaGetDevice(&device);
    return error != cudaSuccess ? code_of(error)
           : device == g.device ? GPU_CODE(OK)
                                : GPU_CODE(DEVICE);
}

/* ---- opening ---- */

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
    task.given = given, task.count = count, task.everywhere = model->plan.everywhere;
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
