/* The host's side: launches, memory, streams. Everything is done when the call returns. */

#ifndef CRYSTAL_SHIM_HOST_H
#define CRYSTAL_SHIM_HOST_H

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorMisalignedAddress = 716,
    cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
    cudaFuncAttributeNonPortableClusterSizeAllowed = 10
};
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrCooperativeLaunch = 95,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
typedef struct crystal_shim_stream *cudaStream_t;
typedef struct crystal_shim_event *cudaEvent_t;

namespace crystal_shim {

constexpr unsigned THREAD_LIMIT = 1024;
constexpr size_t SHARED_LIMIT = 232448; /* bytes a block may ask for on sm_90 */
constexpr int MULTIPROCESSORS = 4;      /* what the shim says it has */

static cudaError_t last_error = cudaSuccess;

static cudaError_t said(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

/* Where every fiber begins and ends. */
static void thread_entry()
{
    fiber_began(scheduler);
    grid->body();
    wait_as(DONE, {"exit", 0});
    abort(); /* nobody continues a thread that is done */
}

static void prepare_block(Block &block, unsigned number, char *memory)
{
    const dim3 blocks = grid->blocks, threads = grid->threads;
    const unsigned count = threads.x * threads.y * threads.z, warps = (count + LANES - 1) / LANES;
    block.index = {number % blocks.x, number / blocks.x % blocks.y, number / blocks.x / blocks.y};
    block.threads.assign(count, Thread());
    for (std::vector<unsigned> &lanes : block.lanes)
        lanes.assign(warps, 0);
    memset(block.total, 0, sizeof block.total);
    for (unsigned i = 0; i < count; ++i) {
        Thread &thread = block.threads[i];
        thread.block = &block;
        thread.linear = i;
        thread.index = {i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y};
        block.lanes[READY][i / LANES] |= 1u << i % LANES;
        prepare_fiber(thread.fiber, memory + i * STACK_BYTES, thread_entry);
    }
    block.total[READY] = count;
    block.dynamic = (char *)malloc(grid->shared ? grid->shared : 1);
    memset(block.dynamic, GARBAGE, grid->shared);
}

/* Blocks one after another. */
static void run_apart(unsigned count, char *memory)
{
    std::vector<Block> one(1);
    const unsigned turn = order.below(count);
    for (unsigned i = 0; i < count && !grid->failed; ++i) {
        prepare_block(one[0], order.at(i, count, turn), memory);
        copy_garbage();
        run_resident(one);
        free(one[0].dynamic);
    }
}

/* All blocks at once, as a cooperative launch. */
static void run_together(unsigned count, char *memory)
{
    std::vector<Block> all(count);
    const size_t threads = (size_t)grid->threads.x * grid->threads.y * grid->threads.z;
    for (unsigned i = 0; i < count; ++i) {
        prepare_block(all[i], i, memory + i * threads * STACK_BYTES);
        all[i].fixed.assign(fixed_bytes(), (char)GARBAGE);
    }
    run_resident(all);
    for (Block &block : all)
        free(block.dynamic);
}

static cudaError_t run_grid(Grid &launched)
{
    const size_t blocks = (size_t)launched.blocks.x * launched.blocks.y * launched.blocks.z;
    const size_t threads = (size_t)launched.threads.x * launched.threads.y * launched.threads.z;
    if (!blocks || !threads || threads > THREAD_LIMIT || launched.shared > SHARED_LIMIT)
        return said(cudaErrorInvalidConfiguration);
    char *memory = stacks.reserve(threads * (launched.together ? blocks : 1));
    if (!memory)
        return said(cudaErrorMemoryAllocation);
    grid = &launched;
    if (launched.together)
        run_together((unsigned)blocks, memory);
    else
        run_apart((unsigned)blocks, memory);
    grid = nullptr;
    current = nullptr;
    return said(launched.failed ? cudaErrorLaunchFailure : cudaSuccess);
}

template <class F>
static cudaError_t launch(const char *name, bool together, dim3 blocks, dim3 threads,
                          size_t shared, cudaStream_t, F body)
{
    Grid launched;
    launched.name = name;
    launched.blocks = blocks;
    launched.threads = threads;
    launched.shared = shared;
    launched.together = together;
    launched.body = body;
    return run_grid(launched);
}

} // namespace crystal_shim

#define CRYSTAL_LAUNCH(kernel, blocks, threads, shared, stream, ...)                        \
    crystal_told(::crystal_shim::launch(#kernel, false, blocks, threads, shared, stream,    \
                                        [&] { kernel(__VA_ARGS__); }))
#define CRYSTAL_LAUNCH_TOGETHER(kernel, blocks, threads, shared, stream, ...)               \
    crystal_told(::crystal_shim::launch(#kernel, true, blocks, threads, shared, stream,     \
                                        [&] { kernel(__VA_ARGS__); }))

static inline cudaError_t cudaGetLastError()
{
    const cudaError_t error = crystal_shim::last_error;
    crystal_shim::last_error = cudaSuccess;
    return error;
}
static inline cudaError_t crystal_told(cudaError_t error)
{
    if (error != cudaSuccess)
        cudaGetLastError();
    return error;
}
static inline cudaError_t cudaPeekAtLastError() { return crystal_shim::last_error; }

static inline const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorMisalignedAddress: return "misaligned address";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    }
    return "unrecognized error code";
}

template <class T> static inline cudaError_t cudaMalloc(T **pointer, size_t bytes)
{
    *pointer = (T *)malloc(bytes ? bytes : 1);
    if (!*pointer)
        return crystal_shim::said(cudaErrorMemoryAllocation);
    memset((void *)*pointer, crystal_shim::GARBAGE, bytes);
    return cudaSuccess;
}
template <class T>
static inline cudaError_t cudaMallocAsync(T **pointer, size_t bytes, cudaStream_t)
{
    return cudaMalloc(pointer, bytes);
}
template <class T> static inline cudaError_t cudaMallocHost(T **pointer, size_t bytes)
{
    return cudaMalloc(pointer, bytes);
}
static inline cudaError_t cudaFree(void *pointer)
{
    free(pointer);
    return cudaSuccess;
}
static inline cudaError_t cudaFreeAsync(void *pointer, cudaStream_t) { return cudaFree(pointer); }
static inline cudaError_t cudaFreeHost(void *pointer) { return cudaFree(pointer); }

static inline cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind)
{
    memcpy(to, from, bytes);
    return cudaSuccess;
}
static inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes,
                                          cudaMemcpyKind kind, cudaStream_t = nullptr)
{
    return cudaMemcpy(to, from, bytes, kind);
}
static inline cudaError_t cudaMemset(void *to, int byte, size_t bytes)
{
    memset(to, byte, bytes);
    return cudaSuccess;
}
static inline cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t = nullptr)
{
    return cudaMemset(to, byte, bytes);
}
template <class T>
static inline cudaError_t cudaMemcpyToSymbolAsync(T &symbol, const void *from, size_t bytes,
                                                  size_t offset, cudaMemcpyKind, cudaStream_t)
{
    if (offset > sizeof symbol || bytes > sizeof symbol - offset)
        return crystal_shim::said(cudaErrorInvalidValue);
    memcpy((char *)&symbol + offset, from, bytes);
    return cudaSuccess;
}
template <class T> static inline cudaError_t cudaGetSymbolAddress(void **pointer, T &symbol)
{
    *pointer = (void *)&symbol;
    return cudaSuccess;
}

static inline cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    *stream = nullptr;
    return cudaSuccess;
}
static inline cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    *event = (cudaEvent_t)malloc(sizeof(clock_t));
    return *event ? cudaSuccess : crystal_shim::said(cudaErrorMemoryAllocation);
}
static inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t = nullptr)
{
    *(clock_t *)event = clock();
    return cudaSuccess;
}
static inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
static inline cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    *ms = (float)(*(clock_t *)to - *(clock_t *)from) * 1000.0f / (float)CLOCKS_PER_SEC;
    return cudaSuccess;
}
static inline cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    return cudaSuccess;
}
static inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
static inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
static inline cudaError_t cudaDeviceSynchronize() { return cudaGetLastError(); }

template <class F>
static inline cudaError_t cudaFuncSetAttribute(F, cudaFuncAttribute, int)
{
    return cudaSuccess;
}
static inline cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}
static inline cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr what, int)
{
    *value = what == cudaDevAttrMultiProcessorCount            ? crystal_shim::MULTIPROCESSORS
             : what == cudaDevAttrComputeCapabilityMajor       ? 9
             : what == cudaDevAttrMaxSharedMemoryPerBlockOptin ? (int)crystal_shim::SHARED_LIMIT
             : what == cudaDevAttrCooperativeLaunch            ? 1
                                                               : 0;
    return cudaSuccess;
}
template <class F>
static inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, F, int, size_t)
{
    *blocks = 1;
    return cudaSuccess;
}

#endif
