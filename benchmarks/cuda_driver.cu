/* Times one network and the device's memory: driver SAMPLES ROUNDS. Prints one line of JSON.
   Follows crystal.cu in its translation unit.

   resident: inputs and outputs stay in device memory. fed: both cross the bus from pinned host
   memory, in chunks on two streams. Medians of the rounds, by CUDA events. */
#include <algorithm>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <vector>

#include "crystal.h"

#define COPY_THREADS 256
#define CHUNKS 16

#define CHECK(call)                                                                      \
    do {                                                                                 \
        const int code = (call);                                                         \
        if (code) {                                                                      \
            fprintf(stderr, "line %d: %s\n", __LINE__, cudaGetErrorString((cudaError_t)code)); \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

static __global__ void copy(const float4 *from, float4 *to, size_t count)
{
    const size_t step = (size_t)gridDim.x * COPY_THREADS;
    for (size_t i = (size_t)blockIdx.x * COPY_THREADS + threadIdx.x; i < count; i += step)
        to[i] = from[i];
}

/* Median milliseconds of `run`, once in each round after two to warm up. */
template <class F> static double median_ms(int rounds, cudaStream_t stream, F run)
{
    std::vector<float> found;
    cudaEvent_t from, to;
    CHECK(cudaEventCreate(&from));
    CHECK(cudaEventCreate(&to));
    for (int i = -2; i < rounds; ++i) {
        float ms;
        CHECK(cudaEventRecord(from, stream));
        run();
        CHECK(cudaEventRecord(to, stream));
        CHECK(cudaEventSynchronize(to));
        CHECK(cudaEventElapsedTime(&ms, from, to));
        if (i >= 0)
            found.push_back(ms);
    }
    CHECK(cudaEventDestroy(from));
    CHECK(cudaEventDestroy(to));
    std::sort(found.begin(), found.end());
    return std::max(found[found.size() / 2], 1e-6f); /* the shim's clock is coarse */
}

static void fill(crystal_in *in, size_t count)
{
    uint32_t state = 1;
    for (size_t i = 0; i < count; ++i) {
        state = state * 1664525u + 1013904223u;
        in[i] = sizeof(crystal_in) == 4 ? (crystal_in)((state >> 8) / 16777216.0f)
                                        : (crystal_in)(state >> 25);
    }
}

/* Bytes read and written a second by a copy of `bytes` of data: a kernel or the driver's, the faster. */
static double copy_rate(const void *data, size_t bytes, int rounds, cudaStream_t stream)
{
    const float4 *const from = (const float4 *)data;
    float4 *to;
    int device, processors;
    const size_t count = bytes / sizeof(float4);
    CHECK(cudaGetDevice(&device));
    CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
    CHECK(cudaMalloc(&to, bytes));
    const double ours = median_ms(rounds, stream, [&] {
        CHECK(CRYSTAL_LAUNCH(copy, processors * 8, COPY_THREADS, 0, stream, from, to, count));
    });
    const double theirs = median_ms(rounds, stream, [&] {
        CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream));
    });
    CHECK(cudaFree(to));
    return 2e3 * (double)(count * sizeof(float4)) / std::min(ours, theirs);
}

int main(int argc, char **argv)
{
    const int n = argc > 1 ? atoi(argv[1]) : 1 << 20, rounds = argc > 2 ? atoi(argv[2]) : 15;
    const size_t inputs = (size_t)n * CRYSTAL_INPUTS, outputs = (size_t)n * CRYSTAL_OUTPUTS;
    crystal_in *host_in, *in;
    crystal_out *host_out, *out;
    cudaStream_t streams[2];
    CHECK(cudaMallocHost(&host_in, inputs * sizeof(crystal_in)));
    CHECK(cudaMallocHost(&host_out, outputs * sizeof(crystal_out)));
    CHECK(cudaMalloc(&in, inputs * sizeof(crystal_in)));
    CHECK(cudaMalloc(&out, outputs * sizeof(crystal_out)));
    for (cudaStream_t &stream : streams)
        CHECK(cudaStreamCreate(&stream));
    fill(host_in, inputs);
    CHECK(cudaMemcpy(in, host_in, inputs * sizeof(crystal_in), cudaMemcpyHostToDevice));
    const double resident = median_ms(rounds, streams[0], [&] { CHECK(crystal_run(in, out, n, streams[0])); });
    const int part = n / CHUNKS / 16 * 16;
    const double fed = part == 0 ? 0 : median_ms(rounds, 0, [&] {
        for (int i = 0; i < CHUNKS; ++i) {
            const size_t a = (size_t)part * i * CRYSTAL_INPUTS, b = (size_t)part * i * CRYSTAL_OUTPUTS;
            cudaStream_t stream = streams[i & 1];
            CHECK(cudaMemcpyAsync(in + a, host_in + a, part * CRYSTAL_INPUTS * sizeof(crystal_in), cudaMemcpyHostToDevice, stream));
            CHECK(crystal_run(in + a, out + b, part, stream));
            CHECK(cudaMemcpyAsync(host_out + b, out + b, part * CRYSTAL_OUTPUTS * sizeof(crystal_out), cudaMemcpyDeviceToHost, stream));
        }
        for (cudaStream_t stream : streams)
            CHECK(cudaStreamSynchronize(stream));
    });
    const double bytes = (double)(inputs * sizeof(crystal_in) + outputs * sizeof(crystal_out));
    const double rate = copy_rate(in, inputs * sizeof(crystal_in), rounds, streams[0]);
    printf("{\"samples\": %d, \"resident_ms\": %.9g, \"fed_ms\": %.9g, \"fed_samples\": %d, "
           "\"bytes_per_second\": %.9g, \"copy_bytes_per_second\": %.9g}\n",
           n, resident, fed, part * CHUNKS, bytes * 1e3 / resident, rate);
    CHECK(cudaFree(in));
    CHECK(cudaFree(out));
    CHECK(cudaFreeHost(host_in));
    CHECK(cudaFreeHost(host_out));
    for (cudaStream_t stream : streams)
        CHECK(cudaStreamDestroy(stream));
    return 0;
}
