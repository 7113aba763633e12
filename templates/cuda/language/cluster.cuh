#ifndef CRYSTAL_CPU_SHIM
/* A launch of ``grid`` blocks in clusters of ``blocks``. */
static cudaLaunchConfig_t cluster_of(int blocks, int grid, int threads, size_t shared,
                                     cudaStream_t stream, cudaLaunchAttribute *cluster)
{
    cudaLaunchConfig_t how = {};
    cluster->id = cudaLaunchAttributeClusterDimension;
    cluster->val.clusterDim.x = (unsigned)blocks;
    cluster->val.clusterDim.y = cluster->val.clusterDim.z = 1;
    how.gridDim = dim3((unsigned)grid);
    how.blockDim = dim3((unsigned)threads);
    how.dynamicSmemBytes = shared;
    how.stream = stream;
    how.attrs = cluster;
    how.numAttrs = 1;
    return how;
}

/* A plan that does not work is no error: nothing of it stays behind. */
static bool failed(cudaError_t error) { return crystal_told(error) != cudaSuccess; }

/* Whether the device can hold one cluster of this kernel. */
template <class Kernel>
static bool holds_cluster(Kernel kernel, int blocks, int threads, size_t shared)
{
    cudaFuncAttributes made; /* code for older devices has no clusters, wherever it runs */
    if (failed(cudaFuncGetAttributes(&made, kernel)) || made.ptxVersion < 90)
        return false;
    cudaLaunchAttribute cluster;
    const cudaLaunchConfig_t how = cluster_of(blocks, blocks, threads, shared, nullptr, &cluster);
    const auto large = cudaFuncAttributeNonPortableClusterSizeAllowed;
    if (blocks > PORTABLE_CLUSTER && failed(cudaFuncSetAttribute(kernel, large, 1)))
        return false;
    int found = 0;
    return !failed(cudaOccupancyMaxActiveClusters(&found, kernel, &how)) && found > 0;
}
#endif
