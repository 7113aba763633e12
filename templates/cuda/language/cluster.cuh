#ifndef CRYSTAL_CPU_SHIM
/* The launch of a grid that is one cluster. */
static cudaLaunchConfig_t cluster_of(
    const GPU(plan) & p, cudaStream_t stream, cudaLaunchAttribute *cluster)
{
    cudaLaunchConfig_t how = {};
    cluster->id = cudaLaunchAttributeClusterDimension;
    cluster->val.clusterDim.x = (unsigned)p.blocks;
    cluster->val.clusterDim.y = cluster->val.clusterDim.z = 1;
    how.gridDim = dim3((unsigned)p.blocks);
    how.blockDim = dim3(ONE_THREADS);
    how.dynamicSmemBytes = p.shared;
    how.stream = stream;
    how.attrs = cluster;
    how.numAttrs = 1;
    return how;
}
#endif
