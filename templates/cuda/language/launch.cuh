/* The host's side, first part: how a model runs on a device, and launches. */

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
    const size_t heads = p.cached ? BLOCKS * (size_t)units(HEADS, p.blocks) : 0;
    const size_t floats = VECTORS + heads * HEAD_CACHE;
    return RESIDENCE + (p.resident ? (size_t)most * UNIT + floats * sizeof(float) : 0);
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

/* Whether a plan works that waits for L2 and for others as little as the device has room for. */
template <class Works> bool with_most_kept(GPU(plan) & p, Works works)
{
    for (p.cached = CAUSAL; p.cached >= 0; p.cached--)
        for (p.everywhere = 1; p.everywhere >= 0; p.everywhere--)
            if (works())
                return true;
    p.cached = p.everywhere = 0;
    return false;
}

/* A cluster where there are such and it holds the weights; else the fewest blocks that do; else
   blocks that read them from L2. */
bool choose_plan(GPU(model) & g)
{
    const int last = g.processors < MOST_BLOCKS ? g.processors : MOST_BLOCKS;
    GPU(plan) &p = g.plan;
    const auto cluster = [&] {
        for (p.blocks = MOST_CLUSTER; g.major >= 9 && p.blocks >= 8; p.blocks /= 2)
            if (works(g, p))
                return true;
        return false;
    };
    const auto grid = [&] {
        for (p.blocks = last < 16 ? last : 16; p.blocks <= last; p.blocks += 4)
            if (works(g, p))
                return true;
        return false;
    };
    p.cluster = p.resident = 1;
    if (with_most_kept(p, cluster))
        return true;
    p.cluster = 0;
    if (with_most_kept(p, grid))
        return true;
    p.resident = 0;
    p.blocks = last;
    return works(g, p);
}

bool sound(const GPU(plan) & p)
{
    return p.blocks >= 1 && p.blocks <= (p.cluster ? MOST_CLUSTER : MOST_BLOCKS) &&
           (p.resident || !(p.cluster || p.cached)) && p.together >= 0 &&
           p.together <= MOST_CLUSTER;
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

} // namespace
